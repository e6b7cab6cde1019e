# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The file of responses: a torn end is mended, and different runs are not mixed in it."""

from __future__ import annotations

import pytest
from support.evaluate.benchmarks import choice, write_json

from streamvlm_ros.errors import CommandError
from streamvlm_ros.evaluate.rescore import score_stored
from streamvlm_ros.evaluate.responses import open_responses, read_responses
from streamvlm_ros.evaluate.score import OVO, STREAMINGBENCH

ABOUT = {'benchmark': 'ovo', 'model': 'm', 'view': 'memory', 'rate': 1.0}
ANSWERED = {
    'task': 'EPM',
    'rule': 'letter',
    'truth': 'B',
    'response': 'B',
    'late_s': None,
    'beyond_end_s': 0.0,
    'exact': True,
    'first_token_s': 0.1,
}


def begun(path, keys='ab'):
    """Write a file with responses; return its bytes."""
    with open_responses(path) as file:
        file.require(ABOUT)
        for key in keys:
            file.add_response(key, **ANSWERED)
    return path.read_bytes()


def test_a_file_that_ends_at_any_byte_is_gone_on_with(tmp_path):
    path = tmp_path / 'r.jsonl'
    whole = begun(path)
    ends = [i for i, byte in enumerate(whole, 1) if byte == ord('\n')]
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with open_responses(path) as file:
            left = sum(end <= length for end in ends)
            assert (bool(file.about), len(file.questions)) == (left > 0, max(0, left - 1))
            file.require(ABOUT)
            for key in 'ab':
                if not file.is_answered(key):
                    file.add_response(key, **ANSWERED)
        assert path.read_bytes() == whole


def test_a_torn_file_that_is_only_scored_stays_as_it_is(tmp_path):
    path = tmp_path / 'r.jsonl'
    path.write_bytes(torn := begun(path)[:-5])
    report = score_stored(OVO, [path])
    assert report.scores.tasks[0].responses == 1 and path.read_bytes() == torn
    annotations = write_json(
        tmp_path / 'a.json', [choice(number, 'EPM', 'a.mp4', 3) for number in (0, 1)]
    )
    report = score_stored(OVO, [path], [annotations])
    assert report.not_asked == {'the run has not come to it yet': ['0', '1']}
    with pytest.raises(CommandError, match='has responses to ovo, not to streamingbench'):
        score_stored(STREAMINGBENCH, [path])
    with pytest.raises(CommandError, match='The responses of a run are scored alone'):
        score_stored(OVO, [path, path])


@pytest.mark.parametrize('name', [*ABOUT])
def test_another_run_is_refused(tmp_path, name):
    before = begun(tmp_path / 'r.jsonl')
    sentence = rf'has responses with {name} .*, and this run has "other"; give another file'
    with open_responses(tmp_path / 'r.jsonl') as file:
        with pytest.raises(CommandError, match=sentence):
            file.require({**ABOUT, name: 'other'})
        file.require(ABOUT)
    assert (tmp_path / 'r.jsonl').read_bytes() == before


def test_what_is_known_later_is_added_and_held_to(tmp_path):
    begun(tmp_path / 'r.jsonl')
    with open_responses(tmp_path / 'r.jsonl') as file:
        file.require({**ABOUT, 'weights': '1'})
    with (
        open_responses(tmp_path / 'r.jsonl') as file,
        pytest.raises(CommandError, match='with weights "1", and this run has "2"'),
    ):
        file.require({**ABOUT, 'weights': '2'})


def test_two_runs_do_not_write_to_one_file(tmp_path):
    with (
        open_responses(tmp_path / 'r.jsonl'),
        pytest.raises(CommandError, match='Another run writes to'),
        open_responses(tmp_path / 'r.jsonl'),
    ):
        pass


@pytest.mark.parametrize(
    'contents',
    [b'[\n{"id": 0}\n]', b'{"id": 0}', b'{"id": 0}\n', b'{"question": "a"}\n', b'\x00', b'text\n'],
)
def test_a_file_of_another_program_is_not_touched(tmp_path, contents):
    path = tmp_path / 'annotations.json'
    path.write_bytes(contents)
    with (
        pytest.raises(CommandError, match='line 1 is not one of a file of responses'),
        open_responses(path),
    ):
        pass
    assert path.read_bytes() == contents


def test_damage_in_the_midst_is_told(tmp_path):
    path = tmp_path / 'r.jsonl'
    lines = begun(path).split(b'\n')
    path.write_bytes(b'\n'.join([lines[0], lines[1][:-4], *lines[2:]]))
    with pytest.raises(CommandError, match='line 2 is not one of a file of responses'):
        read_responses(path)
    path.write_bytes(lines[0].replace(b'"run": 1', b'"run": 9') + b'\n')
    with pytest.raises(CommandError, match='is of format 9, and this version writes 1'):
        read_responses(path)


def test_a_question_that_could_not_be_asked_is_told_once_and_asked_again(tmp_path):
    with open_responses(tmp_path / 'r.jsonl') as file:
        file.require(ABOUT)
        for _ in range(2):
            file.add_not_asked('a', 'the video is missing')
        assert not file.is_answered('a')
    assert (tmp_path / 'r.jsonl').read_bytes().count(b'\n') == 2
    assert score_stored(OVO, [tmp_path / 'r.jsonl']).not_asked == {'the video is missing': ['a']}
    with open_responses(tmp_path / 'r.jsonl') as file:
        file.add_response('a', **ANSWERED)
    assert score_stored(OVO, [tmp_path / 'r.jsonl']).complete
