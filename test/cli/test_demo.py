# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo: its questions come from the generator's truth, and it runs through."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from support.models.tiny_model import tiny

import streamvlm_ros
from streamvlm_ros.cli import demo_plan
from streamvlm_ros.cli.contact_sheet import Note, Row, write_contact_sheet
from streamvlm_ros.engine import StreamSettings, VideoStreamingInference
from streamvlm_ros.scenes.questions import FAMILIES, questions_for
from streamvlm_ros.scenes.scene import Scene

pytestmark = pytest.mark.slow

MOST_BYTES = 8_000_000
ASKED = 12
# What is asked about 'now' has been so for this long: the newest frame may be that old.
BEFORE = 0.9


def test_questions_and_truth_are_the_generators() -> None:
    plan = demo_plan.make_plan()
    assert len(plan.questions) == ASKED
    assert {asked.question.family for asked in plan.questions} == set(FAMILIES)
    assert [asked.at for asked in plan.questions] == sorted(a.at for a in plan.questions)
    for verb in ('ask', 'choose'):
        assert sum(asked.verb == verb for asked in plan.questions) >= 4
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
    assert len(result['questions']) == ASKED
    for question in result['questions']:
        assert set(question) == {'question', 'answer', 'expected', 'correct', 'ttft_ms'}
        assert question['correct'] == (question['answer'] == question['expected'])
        assert question['ttft_ms'] > 0.0
    assert result['frames'] > 10
    assert result['cache_tokens'] > 0
    assert (tmp_path / 'contact_sheet.png').read_bytes().startswith(b'\x89PNG')
    assert sum(file.stat().st_size for file in (tmp_path / 'bag').iterdir()) < MOST_BYTES
    assert 'The model is tiny' not in (tmp_path / 'node.log').read_text()


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
    log = (tmp_path / 'node.log').read_text()
    assert log.index('Ready: images from') < log.index('The model is tiny, which knows the drawn')
    assert 'model:=Qwen/Qwen2.5-VL-3B-Instruct' in log
    # A bar of another library, or an empty line.
    assert '%|' not in log and '\n\n' not in log
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
    assert ran.stdout.split() == [str(ASKED), str(tmp_path / 'cache' / 'streamvlm_ros' / 'demo')]


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
        begin, end = asked.at - BEFORE, asked.at + demo_plan.AFTER
        assert not [moment for moment in changes(plan.scene) if begin < moment < end], asked


def changes(scene: Scene) -> list[float]:
    """Return when things begin and end to move, and when the light changes, in seconds."""
    moments = list(scene.light.times[1:]) if scene.light else []
    for thing in scene.things:
        for (start, here), (stop, there) in itertools.pairwise(zip(thing.times, thing.places)):
            if here != there:
                # A tenth of a second apart, so that no window fits between two of them.
                moments += [start + 0.1 * i for i in range(round((stop - start) / 0.1) + 1)]
    return moments


def test_something_comes_back_and_the_light_changes() -> None:
    scene = demo_plan.make_plan().scene
    assert len(scene.things) >= 4
    assert {'enters', 'passes', 'returns'} <= {thing.kind for thing in scene.things}
    assert scene.light is not None and len(scene.light.times) >= 3


@pytest.mark.parametrize('late', [0.0, demo_plan.AFTER])
def test_the_answers_do_not_depend_on_the_newest_frame(late: float) -> None:
    """The embedded model, shown the scene up to a question, and as far after it as is allowed."""
    plan = demo_plan.make_plan()
    engine = VideoStreamingInference(*tiny(), settings=StreamSettings(sample_rate=0.0))
    # Every second frame, as the node samples them.
    frames = list(zip(plan.scene.frames, plan.scene.stamps_ns))[::2]
    for asked in plan.questions:
        while frames and frames[0][1] <= plan.stamp_ns(asked) + late * 1e9:
            engine.append_frame(*frames.pop(0))
        question = asked.question
        if asked.verb == 'ask':
            answer, _ = engine.ask(question.text, 16)
        else:
            answer = engine.ask_choice(question.text, question.choices).text
        assert answer == question.answer, question


def test_the_sheet_has_room_for_every_text(tmp_path: pathlib.Path) -> None:
    """Long questions and answers are wrapped, and what is below moves down."""
    frame = np.zeros((144, 192, 3), np.uint8)
    heights = {}
    for words in (1, 60):
        note = Note('question ' * words, 'answer ' * words, words == 1, '(expected: nothing)')
        write_contact_sheet(tmp_path / 'sheet.png', 'title', [Row([frame] * 5, range(5), [note])])
        sheet = cv2.imread(str(tmp_path / 'sheet.png'))
        assert sheet is not None
        ink = (sheet < 200).any(axis=2)
        # Below the frames nothing comes to the edges, and nothing of a question to the answers.
        notes = ink[-(sheet.shape[0] - 24 - 44 - 168) :]
        assert not notes[:, :12].any() and not notes[:, -12:].any()
        heights[words] = sheet.shape[0]
    assert heights[60] > heights[1] + 100
