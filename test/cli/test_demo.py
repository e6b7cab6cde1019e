# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo: its questions come from the generator's truth, and it runs through."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys

import streamvlm_ros
from streamvlm_ros.cli import demo_plan
from streamvlm_ros.scenes.questions import questions_for

MOST_BYTES = 5_000_000


def test_questions_and_truth_are_the_generators() -> None:
    plan = demo_plan.make_plan()
    assert len(plan.questions) >= 4
    assert [asked.at for asked in plan.questions] == sorted(a.at for a in plan.questions)
    for verb in ('ask', 'choose'):
        assert sum(asked.verb == verb for asked in plan.questions) >= 2
    for asked in plan.questions:
        assert asked.question in questions_for(plan.scene, asked.at)
        assert plan.stamp_ns(asked) >= plan.scene.stamps_ns[0] + asked.at * 1e9
    assert demo_plan.make_plan().questions == plan.questions


def test_one_question_is_about_what_is_no_longer_in_view() -> None:
    plan = demo_plan.make_plan()
    gone = [
        a for a in plan.questions if a.question.past and a.question.family in ('colour', 'shape')
    ]
    assert gone
    words = gone[0].question.text.split() + [gone[0].question.answer]
    matching = [
        t for t in plan.scene.things if {t.colour, t.shape} & {w.strip('?:.') for w in words}
    ]
    assert any(plan.scene.visible_part(t, gone[0].at) == 0.0 for t in matching)


def test_demo_runs_through(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    command = [sys.executable, '-m', 'streamvlm_ros.cli.main', 'demo', '--json']
    command += ['--model', str(model_folder), '--folder', str(tmp_path)]
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=150, check=False, env=os.environ
    )
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert set(result) == {'questions', 'frames', 'cache_tokens', 'model'}
    assert len(result['questions']) >= 4
    for question in result['questions']:
        assert set(question) == {'question', 'answer', 'expected', 'correct', 'ttft_ms'}
        assert question['correct'] == (question['answer'] == question['expected'])
        assert question['ttft_ms'] > 0.0
    assert result['frames'] > 10
    assert result['cache_tokens'] > 0
    assert (tmp_path / 'contact_sheet.png').read_bytes().startswith(b'\x89PNG')
    assert sum(file.stat().st_size for file in (tmp_path / 'bag').iterdir()) < MOST_BYTES


def test_every_answer_of_the_demo_is_right(domain: int, tmp_path: pathlib.Path) -> None:
    command = [sys.executable, '-m', 'streamvlm_ros.cli.main', 'demo', '--json']
    ran = subprocess.run(
        [*command, '--folder', str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        env=os.environ,
    )
    assert ran.returncode == 0, ran.stderr
    # An answer that comes seconds late sees more of the scene, and other things are true then.
    wrong = [q for q in json.loads(ran.stdout)['questions'] if not q['correct']]
    assert not wrong or 'This machine is busy' in ran.stderr


def test_demo_with_a_model_that_is_not_there(domain: int, tmp_path: pathlib.Path) -> None:
    command = [sys.executable, '-m', 'streamvlm_ros.cli.main', 'demo', '--model', '/no/such']
    command += ['--folder', str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert ran.returncode == 1
    assert 'The model folder /no/such does not exist' in ran.stderr.splitlines()[-1]


def test_works_where_the_repository_is_not(tmp_path: pathlib.Path) -> None:
    """Nothing of it needs a module or a folder that is not installed."""
    shutil.copytree(
        pathlib.Path(streamvlm_ros.__path__[0]),
        tmp_path / 'site' / 'streamvlm_ros',
        ignore=shutil.ignore_patterns('__pycache__'),
    )
    code = (
        'from streamvlm_ros.cli import demo, demo_plan\n'
        'print(len(demo_plan.make_plan().questions), demo.default_folder())\n'
    )
    path = {'PYTHONPATH': str(tmp_path / 'site'), 'XDG_CACHE_HOME': str(tmp_path / 'cache')}
    ran = subprocess.run(
        [sys.executable, '-c', code],
        cwd=tmp_path,
        env={**os.environ, **path},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ['6', str(tmp_path / 'cache' / 'streamvlm_ros' / 'demo')]


def test_a_folder_that_cannot_be_written(domain: int, tmp_path: pathlib.Path) -> None:
    (tmp_path / 'file').touch()
    command = [sys.executable, '-m', 'streamvlm_ros.cli.main', 'demo']
    command += ['--folder', str(tmp_path / 'file' / 'demo')]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert ran.returncode == 1
    assert ran.stderr.startswith('streamvlm: The demo cannot write there: '), ran.stderr


def test_nothing_changes_around_a_question() -> None:
    plan = demo_plan.make_plan()
    for asked in plan.questions:
        before, after = asked.at - demo_plan.BEFORE, asked.at + demo_plan.AFTER
        for thing in plan.scene.things:
            assert thing.place(before) == thing.place(after)
        if plan.scene.light:
            assert plan.scene.light.colour(before) == plan.scene.light.colour(after)
