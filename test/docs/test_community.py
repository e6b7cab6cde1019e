# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a stranger meets first: hooks, workflows, templates and citation name what is there."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pytest
from support.pages.blocks import name_of, ROOT
from support.pages.commands import check_command, commands_of
import yaml

from streamvlm_ros.distributions import discovery_ranges

GITHUB = ROOT / '.github'
WORKFLOWS = sorted((GITHUB / 'workflows').glob('*.yml'))
# Of a citation file, https://citation-file-format.github.io, version 1.2.0.
CITATION_KEYS = {'cff-version', 'message', 'title', 'authors'}


def read(path: pathlib.Path) -> Any:
    return yaml.safe_load(path.read_text())


def steps(workflow: Any) -> list[dict[str, Any]]:
    return [step for job in workflow['jobs'].values() for step in job['steps']]


@pytest.mark.parametrize('path', WORKFLOWS, ids=name_of)
def test_workflows_run_what_is_there(path: pathlib.Path) -> None:
    """A line of ours is checked as one in the documentation; loops and apt are the runner's."""
    workflow = read(path)
    # YAML reads the word `on` as true.
    assert workflow.keys() == {'name', True, 'permissions', 'concurrency', 'jobs'}
    assert workflow['permissions'] == {'contents': 'read'}
    ours = 0
    for step in steps(workflow):
        assert ('uses' in step) != ('run' in step)
        for words in commands_of(step.get('run', '').replace('\\\n', ' ')):
            if words[0] in ('make', 'scripts/with_ros', 'pip'):
                check_command(words)
                ours += 1
            for word in words:
                if re.match(r'(src/streamvlm_ros/)?test/', word):
                    assert (ROOT / word.removeprefix('src/streamvlm_ros/')).exists(), word
    assert ours
    assert 'has not run on GitHub' in path.read_text()


def test_the_matrix_has_the_distributions_that_the_documentation_names() -> None:
    workflow = read(GITHUB / 'workflows' / 'tests.yml')
    named = workflow['jobs']['distributions']['strategy']['matrix']['distribution']
    text = (ROOT / 'docs' / 'install.md').read_text()
    assert len(named) >= 3
    for distribution in named:
        assert distribution.capitalize() in text
        assert discovery_ranges(distribution)
    pythons = workflow['jobs']['wheels']['strategy']['matrix']['python']
    assert f'Python {pythons[0]}–{pythons[-1]}' in text


def test_hooks_call_what_the_set_up_installs() -> None:
    """Nothing is fetched: every hook is local, and every tool is pinned in test.txt."""
    (repository,) = read(ROOT / '.pre-commit-config.yaml')['repos']
    assert repository['repo'] == 'local'
    pinned = (ROOT / 'requirements' / 'test.txt').read_text()
    for hook in repository['hooks']:
        assert hook['language'] == 'system'
        program, *arguments = hook['entry'].split()
        if program == 'scripts/with_ros' or program.endswith('/python'):
            module = arguments[arguments.index('-m') + 1]
            assert f'\n{module}==' in pinned
        else:
            tool = pathlib.Path(program).name
            assert f'\n{tool}==' in pinned or 'pre-commit-hooks==' in pinned
            assert (ROOT / program).exists(), f'{program} is not there: run make setup'


def test_the_citation_file_has_what_its_format_asks_for() -> None:
    citation = read(ROOT / 'CITATION.cff')
    assert citation.keys() >= CITATION_KEYS
    assert citation['cff-version'] == '1.2.0'
    assert all(author.keys() & {'name', 'family-names'} for author in citation['authors'])
    assert re.fullmatch(r'\d{4}-\d\d-\d\d', str(citation['date-released']))


@pytest.mark.parametrize('path', sorted((GITHUB / 'ISSUE_TEMPLATE').glob('*.yml')), ids=name_of)
def test_issue_forms_are_forms(path: pathlib.Path) -> None:
    form = read(path)
    if path.name != 'config.yml':
        assert form.keys() >= {'name', 'description', 'body'}
        ids = [field['id'] for field in form['body']]
        assert len(set(ids)) == len(ids)
        assert all(field['attributes']['label'] for field in form['body'])


def test_the_changelog_sorts_what_is_not_released() -> None:
    """Added, Changed and Fixed; catkin's tools read the file, so headings are lines in bold."""
    text = (ROOT / 'CHANGELOG.rst').read_text().partition('Forthcoming\n---')[2]
    headings = re.findall(r'^\*\*(\w+)\*\*$', text.partition('\n0.1.0 (')[0], re.MULTILINE)
    assert headings == ['Added', 'Changed', 'Fixed']
