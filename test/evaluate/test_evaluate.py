# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A benchmark of our own, run on `tiny`: every task, one pass a video, and on after a SIGKILL."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest
from support.evaluate.benchmarks import (
    choice,
    COUNTED,
    drawn_frames,
    ovo_annotations,
    OVO_WORDS,
    RATE,
    SECONDS,
    write_frames,
    write_json,
)

from streamvlm_ros.cli import main
from streamvlm_ros.cli.offline import evaluate
from streamvlm_ros.engine import StreamSettings
from streamvlm_ros.engine.serving.loading import load_streams
from streamvlm_ros.evaluate import evaluate as evaluating
from streamvlm_ros.evaluate import run as running
from streamvlm_ros.evaluate.annotations.read import read_questions
from streamvlm_ros.evaluate.responses import read_responses
from streamvlm_ros.evaluate.score import BENCHMARKS, OVO
from streamvlm_ros.view import View, ViewName

TIME = 300.0
NAMES = ('drawn/0.mp4', 'drawn/1.mp4')
SETTINGS = ('--set', 'max_pixels=0', '--set', 'capacity=2048', '--device', 'cpu')
# Ends itself with SIGKILL in the midst of the write of a line.
KILLED = """
import os, signal, sys, types
from streamvlm_ros.cli import main
from streamvlm_ros.evaluate import responses
lines = 0
def torn(descriptor, line):
    global lines
    lines += 1
    if lines == int(sys.argv[1]):
        os.write(descriptor, line[: len(line) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    return os.write(descriptor, line)
responses.os = types.SimpleNamespace(**{**vars(os), 'write': torn})
main.main(sys.argv[2:])
"""


@pytest.fixture(scope='module')
def frames():
    return {name: drawn_frames(number) for number, name in enumerate(NAMES)}


@pytest.fixture(scope='module')
def folder(tmp_path_factory, frames):
    """Return a folder with videos, annotations of both benchmarks, and a clone of OVO-Bench."""
    folder = tmp_path_factory.mktemp('benchmark')
    for name, pictures in frames.items():
        write_frames(folder / name, pictures)
    write_json(folder / 'ovo.json', ovo_annotations(NAMES))
    (folder / 'constant.py').write_text(OVO_WORDS)
    return folder


def command(folder: pathlib.Path, output: pathlib.Path, *more: str, benchmark='ovo') -> list[str]:
    return [
        'evaluate',
        benchmark,
        '--model=tiny',
        '--annotations',
        str(folder / f'{benchmark}.json'),
        f'--videos={folder}',
        f'--output={output}',
        *SETTINGS,
        *more,
    ]


@pytest.fixture(scope='module')
def whole(folder, tmp_path_factory):
    """Return the file of responses of an uninterrupted run of OVO-Bench's form."""
    output = tmp_path_factory.mktemp('whole') / 'ovo.jsonl'
    code = main.main(command(folder, output, '--protocol', str(folder), '--json'))
    assert code == 0
    return output


@pytest.fixture(scope='module')
def engine():
    return load_streams('tiny', [StreamSettings(sample_rate=1.0)], device='cpu')[0]


def alone(engine, pictures, question, start_s, end_s, view: View | ViewName = 'memory') -> str:
    """Return the answer of a stream that has seen a part of a video and nothing else."""
    engine.reset()
    for second in range(SECONDS):
        if start_s <= second < end_s:
            engine.append_frame(pictures[RATE * second], second * 10**9)
    return engine.ask(question, view=view).text


def rows_of(path: pathlib.Path) -> dict[str, dict]:
    return read_responses(path).questions


def test_each_answer_is_that_of_a_stream_that_saw_the_video_up_to_its_time(
    whole, folder, frames, engine
):
    questions, _ = read_questions(OVO, [folder / 'ovo.json'], folder)
    rows = rows_of(whole)
    assert {*rows} == {each.key for each in questions}
    assert {row['task'] for row in rows.values()} == {*OVO.tasks}
    for each in questions:
        [end_s] = each.times_s
        text = alone(engine, frames[each.video], each.prompt, 0, end_s)
        row = rows[each.key]
        assert (each.key, row['response']) == (each.key, text)
        newest_s = min(SECONDS, end_s) - 1
        seen = row['frames'], row['first_s'], row['last_s'], row['exact']
        assert seen == (newest_s + 1, 0.0, newest_s, True)
    # Answers depend on the time: the test would else not notice a wrong one.
    assert len({row['response'] for row in rows.values() if row['task'] == 'REC'}) > 1


def test_the_report_has_scores_figures_and_what_they_rest_on(whole, capsys):
    assert main.main(['evaluate', 'ovo', '--score', str(whole), '--json']) == 0
    found = json.loads(capsys.readouterr().out)
    assert found['complete'] and found['about']['model'] == 'tiny'
    assert {*found['tasks']} == {*OVO.tasks} and {*found['groups']} == {
        group.name for group in OVO.groups
    }
    assert found['tasks']['REC']['accuracy'] == 100.0  # `tiny` knows how to count
    figures = found['figures']
    assert figures['max_fps'] > 0 and figures['memory_bytes'] > 1e6
    assert 0 < figures['first_token_s'] <= figures['first_token_95_s']
    assert figures['accuracy'] == found['total'] == sum(found['groups'].values()) / 3
    assert any('1 questions ask for a time' in note for note in found['notes'])
    videos = read_responses(whole).videos
    assert {row['video']: row['frames'] for row in videos} == {NAMES[0]: SECONDS, NAMES[1]: 9}
    assert main.main(['evaluate', 'ovo', '--score', str(whole)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith('tiny on cpu in float32, view memory, 1 frames a second.')
    assert 'first token       0.' in printed and 'total ' in printed


def test_a_run_that_was_killed_goes_on(whole, folder, tmp_path, capsys):
    output = tmp_path / 'ovo.jsonl'
    arguments = command(folder, output, '--protocol', str(folder), '--json')
    killed = subprocess.run(
        [sys.executable, '-c', KILLED, '9', *arguments],
        capture_output=True,
        timeout=TIME,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stderr.count(b'\r') == 0  # no line of progress outside a terminal
    before = output.read_bytes()
    assert not before.endswith(b'\n')
    kept = before[: before.rfind(b'\n') + 1]
    assert main.main(arguments) == 0
    assert output.read_bytes().startswith(kept)
    same = ('task', 'truth', 'response', 'frames', 'time_s', 'exact')
    assert {key: [row[name] for name in same] for key, row in rows_of(output).items()} == {
        key: [row[name] for name in same] for key, row in rows_of(whole).items()
    }
    asked = [json.loads(line).get('question') for line in output.read_bytes().splitlines()]
    assert len(asked) - asked.count(None) == len({*asked} - {None}), 'a question was asked twice'


def test_nothing_is_loaded_where_all_is_answered_and_other_runs_are_refused(
    whole, folder, monkeypatch, capsys
):
    monkeypatch.setattr(evaluating, 'load_streams', lambda *_, **__: pytest.fail('loaded'))
    arguments = command(folder, whole, '--protocol', str(folder))
    before = whole.read_bytes()
    assert main.main(arguments) == 0
    for other, name in (
        (['--model=other'], 'model'),
        (['--rate=2'], 'rate'),
        (['--view=now'], 'view'),
        (['--set', 'chunk_frames=2'], 'settings'),
        (['--max-new-tokens=4'], 'max_new_tokens'),
    ):
        capsys.readouterr()
        assert main.main([*arguments, *other]) == 1
        assert f'has responses with {name} ' in capsys.readouterr().err
    assert main.main(command(folder, whole)) == 1
    assert 'has responses with prompts ' in capsys.readouterr().err
    assert whole.read_bytes() == before


@pytest.mark.parametrize(
    ('view', 'first_s', 'frames_seen'),
    [('now', 4, 4), ('memory_and_now', 0, 8), ('span', 5, 3)],
)
def test_a_view_is_what_a_question_looks_at(
    folder, frames, engine, tmp_path, view, first_s, frames_seen
):
    """Three questions at one time are more than the views that may be open at once."""
    asked = [choice(number, 'STU', NAMES[0], 8, question=COUNTED) for number in range(3)]
    asked[1]['question'] = 'Which object went out last?'
    asked.append(choice(3, 'EPM', NAMES[0], 5, question=COUNTED))
    write_json(tmp_path / 'ovo.json', asked)
    output = tmp_path / 'ovo.jsonl'
    span = ('--span=2',) if view == 'span' else ()
    more = ('--protocol', str(folder), f'--videos={folder}', f'--view={view}', *span)
    assert main.main(command(tmp_path, output, *more)) == 0
    rows = rows_of(output)
    for number, end_s in enumerate((8, 8, 8, 5)):
        look = View('span', (end_s - 3) * 10**9) if view == 'span' else view
        prompt = asked[number]['question'] + ' '
        text = alone(engine, frames[NAMES[0]], prompt, 0, end_s, look)
        assert rows[str(number)]['response'] == text
        assert rows[str(number)]['exact'] and rows[str(number)]['last_s'] == end_s - 1
    assert (rows['0']['first_s'], rows['0']['frames']) == (first_s, frames_seen)
    assert read_responses(output).about['view'] == view


def test_videos_that_are_missing_or_broken_are_told_and_not_scored(
    folder, frames, tmp_path, capsys
):
    (tmp_path / 'garbage.mp4').write_bytes(bytes(range(256)) * 99)
    write_frames(tmp_path / 'cut.mkv', frames[NAMES[0]])
    data = (tmp_path / 'cut.mkv').read_bytes()
    (tmp_path / 'cut.mkv').write_bytes(data[: len(data) // 3])
    write_json(
        tmp_path / 'ovo.json',
        [
            choice(0, 'EPM', 'gone.mp4', 3),
            choice(1, 'EPM', 'garbage.mp4', 3),
            choice(2, 'EPM', 'cut.mkv', 2),
            choice(3, 'EPM', 'cut.mkv', 11),
        ],
    )
    code = main.main(command(tmp_path, tmp_path / 'r.jsonl', '--json'))
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert code == evaluate.INCOMPLETE and not found['complete']
    assert (
        '1 of 3 videos are missing in' in told.err and 'for example gone.mp4; 1 quest' in told.err
    )
    assert found['not_asked'] == {running.MISSING: ['0'], running.BROKEN: ['1', '3']}
    assert (found['questions'], found['responses']) == (4, 1)
    assert any(note.startswith('garbage.mp4: ') for note in found['notes'])
    assert main.main(['evaluate', 'ovo', '--score', str(tmp_path / 'r.jsonl')]) == 3
    assert 'Not asked and not scored: 2 (1, 3): the video cannot' in capsys.readouterr().out
    # The videos are there now.
    for name in ('gone.mp4', 'garbage.mp4', 'cut.mkv'):
        shutil.copy(folder / NAMES[0], tmp_path / name)
    assert main.main(command(tmp_path, tmp_path / 'r.jsonl', '--json')) == 0
    assert json.loads(capsys.readouterr().out)['responses'] == 4


def test_streamingbench_shows_the_model_what_came_just_before(folder, frames, engine, capsys):
    """Clips overlap here, and a proactive question is polled until the model says yes."""
    times = ('00:00:08', '00:00:11', '00:00:03')
    choices = [
        {
            'task_type': 'Counting',
            'question': 'How many objects do you see now?',
            'time_stamp': time,
            'answer': 'A',
            'options': ['1', '2', '3', '4'],
        }
        for time in times
    ]
    proactive = {
        'task_type': 'Proactive Output',
        'question': 'When there are three, output "3".',
        'time_stamp': '00:00:04',
        'ground_truth_time_stamp': '00:00:06',
        'ground_truth_output': '3',
    }
    video = NAMES[0]
    write_json(
        folder / 'streamingbench.json',
        [{'video_path': f'./elsewhere/{video}', 'questions': [*choices, proactive]}],
    )
    shutil.copy(folder / video, folder / '0.mp4')  # found by its name alone
    output = folder / 'sb.jsonl'
    arguments = command(folder, output, '--context=5', '--json', benchmark='streamingbench')
    assert main.main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert {*found['tasks']} == {'Counting', 'Proactive Output'}
    questions, _ = read_questions(
        BENCHMARKS['streamingbench'], [folder / 'streamingbench.json'], context_s=5.0
    )
    rows = rows_of(output)
    for each, start_s, end_s in zip(questions, (3, 6, 0), (8, 11, 3)):
        text = alone(engine, frames[video], each.prompt, start_s, end_s)
        row = rows[each.key]
        assert (row['response'], row['frames']) == (text, end_s - start_s)
    row = rows[questions[3].key]
    for moment in range(5, 11):
        said = alone(engine, frames[video], questions[3].prompt, 4, moment)
        if 'yes' in said.lower():
            said = alone(engine, frames[video], questions[3].then_ask, 4, moment)
            break
    assert (row['response'], row['time_s'], row['late_s']) == (said, moment, moment - 6)
    [frames_read] = [row['frames'] for row in read_responses(output).videos]
    assert frames_read == 3 + 5 + 5 + moment - 4


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['--model=tiny'], 'A run needs --annotations and --videos too'),
        (['--rate=0'], '--rate is 0.0; give more than 0'),
        (['--rate=nan'], '--rate is nan; give more than 0'),
        (['--context=-1'], '--context is -1.0 s; give 0'),
        (['--span=3'], '--span is 3.0 s with the view memory; give 0 (all) or more, with --view'),
        (['--view=span', '--span=nan'], '--span is nan s with the view span'),
        (['--set', 'capacity'], "--set 'capacity' is not NAME=VALUE"),
        (['--set', 'capacitty=3'], 'capacitty cannot be set here; take one of'),
        (['--set', 'sample_rate=3'], 'sample_rate cannot be set here; take --rate'),
        (['--set', 'capacity=-3'], 'capacity is -3 tokens; give at least 1'),
        (['--task=EPN'], "There is no task 'EPN'; choose of EPM, ASI"),
        (['--videos=/nowhere'], '/nowhere has none of the 2 videos, for example drawn/0.mp4'),
        (['--protocol=/nowhere'], 'give --protocol a clone of the benchmark'),
        (['--output=/proc/no/file'], '/proc/no/file cannot be written: '),
    ],
)
def test_wrong_commands_are_told_before_a_model_is_loaded(
    folder, tmp_path, monkeypatch, capsys, arguments, sentence
):
    monkeypatch.setattr(evaluating, 'load_streams', lambda *_, **__: pytest.fail('loaded'))
    whole = command(folder, tmp_path / 'r.jsonl')
    if arguments == ['--model=tiny']:
        whole = ['evaluate', 'ovo']
    assert main.main([*whole, *arguments]) == 1
    told = capsys.readouterr().err
    assert sentence in told and told.count('\n') == 1
    assert not (tmp_path / 'r.jsonl').exists()
