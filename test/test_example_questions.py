# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The questions in README, docs, launch files, interfaces and help: `tiny` answers them."""

from __future__ import annotations

import argparse
import functools
import pathlib
import re

import pytest
from support.models.tiny_model import tiny

from streamvlm_ros.cli import demo_plan
from streamvlm_ros.cli.main import VERBS
from streamvlm_ros.engine import StreamSettings, VideoStreamingInference
from streamvlm_ros.scenes.phrases import parse_question
from streamvlm_ros.scenes.questions import questions_for

REPOSITORY = pathlib.Path(__file__).parents[1]
TEXTS = (
    'README.md',
    'docs/**/*.md',
    'launch/*.py',
    'config/**/*.*',
    'msg/*.msg',
    'srv/*.srv',
    'action/*.action',
    'docker/*',
    'scripts/docs/*.md',
    'streamvlm_ros/cli/*.py',
    'streamvlm_ros/client/*.py',
    'streamvlm_ros/launching/*.py',
    'streamvlm_ros/nodes/**/*.py',
)
# A whole sentence in quotes, or in the middle of a line of `watches`.
QUESTION = re.compile(r"""(?:['"]|\| )([A-Z][^'"|\n?]*\?)(?=['"]| \|)""")
# What may follow it: a list, an argument of ros2 launch, words of a command line, a line's middle.
CHOICES = tuple(
    map(
        re.compile,
        (
            r"""['"],\s*(?:choices: )?\[([^\]]*)\]""",
            r"""['"][\s\\]+choices:='([^']*)'""",
            r"""['"]((?: [a-z]+)+)(?=\s{2,}|\n)""",
            r' \| ([^|\n]*)',
        ),
    )
)
# The end of the demo's scene: something has come in, left and come back, the light has changed.
AT = 16.5


def examples() -> dict[tuple[str, tuple[str, ...]], set[str]]:
    """Return the questions with their choices, () where there are none, and where they stand."""
    found: dict[tuple[str, tuple[str, ...]], set[str]] = {}
    for name, text in texts():
        for match in QUESTION.finditer(text):
            rest = text[match.end() :]
            given = next((m[1] for each in CHOICES if (m := each.match(rest))), '')
            found.setdefault((match[1], tuple(re.findall('[a-z]+', given))), set()).add(name)
    return found


def texts() -> list[tuple[str, str]]:
    """Return what a newcomer reads, and where it stands."""
    files = [file for pattern in TEXTS for file in sorted(REPOSITORY.glob(pattern))]
    read = [
        (str(file.relative_to(REPOSITORY)), file.read_text()) for file in files if file.is_file()
    ]
    for verb, module in VERBS.items():
        parser = argparse.ArgumentParser(verb)
        module.add_arguments(parser)
        read.append((f'streamvlm {verb} --help', parser.format_help()))
    return read


def test_examples_are_found_with_their_choices() -> None:
    found = examples()
    places = set().union(*found.values())
    assert len(found) >= 5
    assert places > {'README.md'}
    assert ('What colour is the light now?', ('red', 'green', 'blue')) in found
    assert ('What colour is the light now?', ('red', 'green')) in found
    assert ('Where is the yellow ball now?', ('left', 'middle', 'right')) in found
    assert ('Have you seen a yellow ball?', ('yes', 'no')) in found
    assert ('Which object left last?', ()) in found


@pytest.mark.parametrize('question', sorted({question for question, _ in examples()}))
def test_examples_are_asked_in_words_that_tiny_knows(question: str) -> None:
    assert parse_question(question), f'tiny does not know the question {question!r}'


@functools.cache
def shown() -> tuple[demo_plan.Plan, VideoStreamingInference]:
    """Return the demo's scene, and an engine that has seen it up to `AT`."""
    plan = demo_plan.make_plan()
    engine = VideoStreamingInference(*tiny(), settings=StreamSettings(sample_rate=0.0))
    for frame, stamp_ns, seconds in list(
        zip(plan.scene.frames, plan.scene.stamps_ns, plan.scene.times)
    )[::2]:
        if seconds <= AT:
            engine.append_frame(frame, stamp_ns)
    return plan, engine


@pytest.mark.parametrize('example', sorted(examples()), ids=str)
def test_examples_are_answered_right(example: tuple[str, tuple[str, ...]]) -> None:
    question, choices = example
    plan, engine = shown()
    truth = {parse_question(each.text): each.answer for each in questions_for(plan.scene, AT)}
    expected = truth[parse_question(question)]
    assert engine.ask(question, 16)[0] == expected
    if expected in choices:
        assert engine.ask_choice(question, choices).text == expected


@pytest.mark.parametrize(
    ('text', 'about'),
    [
        ('What happened?', None),
        ('What colour is the door?', None),
        ('What colour is the ball now?', None),
        ('What colour is the ball?', ('colour', 'ball', '')),
        ('Which way did the white ring move?', ('direction', 'white ring', '')),
        (
            'Did the red box come in before or after the light turned blue?',
            ('order_light', 'red box', 'blue'),
        ),
        ('What time is it?', ('outside', '', '')),
    ],
)
def test_questions_are_told_apart(text: str, about: tuple[str, str, str] | None) -> None:
    assert parse_question(text) == about


def test_every_question_about_a_scene_is_known() -> None:
    scene = demo_plan.make_plan().scene
    for at in (2.0, 7.0, AT):
        assert all(parse_question(each.text) for each in questions_for(scene, at))
