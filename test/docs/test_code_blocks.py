# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every code block of the documentation names its language, and would work if it were pasted."""

from __future__ import annotations

from typing import Any

import pytest
from support.pages import blocks, commands
from support.pages.blocks import Block
import yaml

from streamvlm_ros.nodes.parameters.parameters import check_values
from streamvlm_ros.nodes.parameters.table import PARAMETERS
from streamvlm_ros.nodes.parameters.watch_lines import parse_watches

LANGUAGES = {'bash', 'ini', 'mermaid', 'python', 'text', 'yaml'}


def place(block: Block) -> str:
    return block.place


def test_every_block_names_its_language() -> None:
    """A block without one is shown without colours, and no test can look at it."""
    others = [
        f'{block.place} {block.language!r}'
        for page in blocks.PAGES
        for block in blocks.blocks_of(page)
        if block.language not in LANGUAGES
    ]
    assert others == [], f'fence these, as one of {", ".join(sorted(LANGUAGES))}'


@pytest.mark.parametrize('block', blocks.blocks_in('bash'), ids=place)
def test_commands_would_work(block: Block) -> None:
    found = commands.commands_of(block.text)
    assert found
    for words in found:
        commands.check_command(words)


@pytest.mark.parametrize('page', blocks.PAGES, ids=blocks.name_of)
def test_commands_in_sentences_would_work(page: Any) -> None:
    """In a sentence a command may lack its arguments: verbs, targets and modules are checked."""
    for span in blocks.spans_of(page):
        for words in commands.commands_of(span) if '`' not in span and span.isascii() else []:
            if words[0] == 'make' and len(words) > 1:
                commands.check_make(words[1:])
            elif words[0] == 'streamvlm' and len(words) > 1 and words[1].islower():
                assert words[1] in commands.VERBS, span
            elif words[:2] == ['python', '-m']:
                commands.check_python(words[1:])


@pytest.mark.parametrize('block', blocks.blocks_in('yaml'), ids=place)
def test_yaml_is_taken(block: Block) -> None:
    """A parameter file, or lines of one: the node has every parameter and takes its value."""
    content = yaml.safe_load(block.text)
    known = {parameter.name for parameter in PARAMETERS}
    for values in (
        [section['ros__parameters'] for section in content.values()]
        if any(key.startswith('/') for key in content)
        else [content]
    ):
        own = {name: value for name, value in values.items() if name != 'qos_overrides'}
        assert own.keys() <= known
        check_values(own)
        parse_watches(own.get('watches', ''))


@pytest.mark.parametrize('block', blocks.blocks_in('python'), ids=place)
def test_python_compiles(block: Block) -> None:
    compile(block.text, block.place, 'exec')


@pytest.mark.parametrize(
    ('line', 'fault'),
    [
        ('streamvlm aks x', 'streamvlm aks is no verb'),
        ('streamvlm ask', 'required: question'),
        ('streamvlm choose x', 'required: CHOICE'),
        ('ros2 run streamvlm_ros streamvlm ask x --streem', 'unrecognized arguments'),
        ('ls && streamvlm', 'ls: no command that this test knows'),
        ('make dmo', 'no such target'),
        ('make demo JSN=1', 'no such target or variable'),
        ('pip install -r src/streamvlm_ros/requirements/robot.txt', 'is not there'),
        (f'export X={commands.SHARE}/config/nothing.xml', 'is not there'),
        ('cd $(make dmo)', 'no such target'),
        ('ros2 launch streamvlm_ros stream.launch.py', 'no launch file'),
        ('ros2 launch streamvlm_ros streamvlm.launch.py img:=x', 'has no argument img'),
        ('ros2 launch streamvlm_ros bag.launch.py bag:=x', 'bag.launch.py needs question'),
        ('ros2 run streamvlm_ros node', 'no program'),
        ('ros2 service call /streamvlm/aks streamvlm_ros/srv/Ask "{}"', 'a node has no'),
        ('ros2 service call /streamvlm/ask streamvlm_ros/srv/AskChoice "{}"', 'the type of'),
        ('ros2 service call /streamvlm/ask streamvlm_ros/srv/Ask "{q: x}"', 'has no field q'),
        ('ros2 service call /streamvlm/ask streamvlm_ros/srv/Ask "{question: 1}"', 'is no str'),
        ('ros2 service call /streamvlm/ask streamvlm_ros/srv/Ask "{after: {s: 1}}"', 'no field s'),
        ('ros2 action send_goal /streamvlm/ask streamvlm_ros/action/AnswerQuestion ""', 'type of'),
        ('ros2 topic echo /streamvlm/state', 'a node has no'),
        ('ros2 param set /streamvlm sample_rat 1.0', 'has no parameter'),
        ('ros2 doctor --report', 'ros2 doctor: teach'),
        ('python -m benchmark.sped', 'no such module'),
        ('python -m benchmark.speed --dimension 7B', 'no option'),
        ('docker compose exec workstation /entrypoint streamvlm aks', 'no verb'),
    ],
)
def test_a_command_that_could_not_work_is_found(line: str, fault: str) -> None:
    with pytest.raises(commands.CommandError, match=fault):
        for words in commands.commands_of(line):
            commands.check_command(words)


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('a b  # c', [['a', 'b']]),
        ("a 'b && c' && d; e &", [['a', 'b && c'], ['d'], ['e']]),
        ('a \\\n  b', [['a', 'b']]),
        ('a $(b c)/d', [['b', 'c'], ['a', 'SUBSTITUTED/d']]),
    ],
)
def test_commands_are_split_as_a_shell_does(text: str, words: list[list[str]]) -> None:
    assert commands.commands_of(text) == words
