# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is right, in which form responses may be stored, and the averages of a benchmark."""

from __future__ import annotations

import json

import pytest
from support.evaluate.benchmarks import choice, forward, write_json

from streamvlm_ros.cli import main
from streamvlm_ros.errors import CommandError
from streamvlm_ros.evaluate.question import Response
from streamvlm_ros.evaluate.rescore import score_stored
from streamvlm_ros.evaluate.score import OVO, score, STREAMINGBENCH
from streamvlm_ros.evaluate.stored import read_ovo_stored


@pytest.mark.parametrize(
    ('rule', 'truth', 'text', 'is_right', 'is_in_form'),
    [
        ('letter', 'B', 'B', True, True),
        ('letter', 'B', ' B \n', True, True),
        ('letter', 'B', 'B. the green one', True, True),
        ('letter', 'B', '(B)', True, True),
        ('letter', 'B', 'I think that it is B, since', True, False),
        ('letter', 'B', 'A', False, True),
        ('letter', 'B', 'b', False, False),  # as the benchmark's scorer has it
        ('letter', 'B', '', False, False),
        ('letter', 'B', None, False, False),
        ('first_letter', 'B', 'B. the green one', True, True),
        ('first_letter', 'B', ' B', False, True),
        ('first_letter', 'B', 'The best is B', False, False),
        ('count', '12', '12', True, True),
        ('count', '12', '12. \n', True, True),
        ('count', '12', 'They did it 12 times.', True, False),
        ('count', '12', '1 or 2', True, False),
        ('count', '12', 'twelve', False, False),
        ('count', '0', '10', False, True),
        ('yes_no', 'Yes', 'Yes.', True, True),
        ('yes_no', 'No', 'N', True, True),
        ('yes_no', 'Yes', 'Y', True, True),
        ('yes_no', 'No', 'yes', False, False),
        ('yes_no', 'No', 'No, not yet', True, False),
        ('yes_no', 'Yes', None, False, False),
    ],
)
def test_a_response_is_right_as_the_benchmark_has_it(rule, truth, text, is_right, is_in_form):
    response = Response('EPM', rule, truth, text)
    assert (response.is_right, response.is_in_form) == (is_right, is_in_form)


def test_a_proactive_output_has_to_be_in_time_too():
    assert Response('Proactive Output', 'output', '3', 'It is 3', 2.0).is_right
    assert not Response('Proactive Output', 'output', '3', 'It is 3', 3.0).is_right
    assert not Response('Proactive Output', 'output', '3', 'It is 4', -2.0).is_right
    [task] = score(
        STREAMINGBENCH,
        [
            Response('Proactive Output', 'output', '3', '3', late_s)
            for late_s in (-3.0, -2.0, 0.0, 4.0)
        ],
    ).tasks
    assert (task.responses, task.right, task.in_time) == (4, 2, 2)


def test_a_group_is_the_mean_of_its_tasks_and_the_total_that_of_the_groups():
    responses = [Response('EPM', 'letter', 'A', 'A')] * 3 + [Response('ASI', 'letter', 'A', 'B')]
    scores = score(OVO, responses)
    assert (scores.groups, scores.total) == ({'backward': 50.0}, None)
    whole = [
        *responses,
        Response('OCR', 'letter', 'A', 'A'),
        Response('CRR', 'yes_no', 'No', 'No'),
        Response('REC', 'count', '1', '2'),
        Response('REC', 'count', '1', None),
    ]
    scores = score(OVO, whole)
    assert scores.groups == {'backward': 50.0, 'realtime': 100.0, 'forward': 50.0}
    assert scores.total == pytest.approx(200 / 3)
    counted = {each.task: each for each in scores.tasks}
    assert (counted['REC'].responses, counted['REC'].empty) == (2, 1)
    # StreamingBench counts questions instead.
    several = [Response('Counting', 'first_letter', 'A', 'A')] * 3
    several.append(Response('Causal Reasoning', 'first_letter', 'A', 'B'))
    assert score(STREAMINGBENCH, several).groups == {'realtime': 75.0}


def stored(identity, response, **fields):
    return {
        'id': identity,
        'video': 'a.mp4',
        'task': 'EPM',
        'question': '?',
        'response': response,
        'ground_truth': 'B',
        **fields,
    }


FORWARD = forward(
    7,
    'REC',
    'a.mp4',
    [
        {'realtime': 1, 'count': 1, 'response': '1 time'},
        {'realtime': 2, 'count': 2, 'response': ['2', '3']},
        {'realtime': 3, 'count': 3},
        {'realtime': 4, 'count': 4, 'response': None},
        {'realtime': 5, 'count': 5, 'response': 5},
        {'realtime': 6, 'count': 6, 'response': []},
    ],
)
STEPS = forward(8, 'SSR', 'a.mp4', [{'realtime': 1, 'step': 'a', 'type': 0, 'response': ['No.']}])


def test_responses_are_read_in_every_form_in_which_programs_store_them(tmp_path, capsys):
    backward = [
        stored(0, 'B'),
        stored(1, ['B', 'A']),
        stored(2, None),
        stored(3, ' the answer is B\n'),
        stored(4, [['B']], score=0),
        {name: value for name, value in stored(5, '').items() if name != 'response'},
        # An annotation with the response added to it.
        choice(6, 'EPM', 'a.mp4', 3, response='B'),
        stored(9, 'B', ground_truth=1),
    ]
    right = {'EPM': (8, 6, 2), 'REC': (6, 3, 3), 'SSR': (1, 1, 0)}
    one = write_json(
        tmp_path / 'one.json',
        {'backward': backward, 'realtime': [], 'forward': [FORWARD, STEPS]},
    )
    parts = tmp_path / 'parts'
    write_json(parts / 'epm.json', {'backward': backward})
    write_json(parts / 'rec.json', {'backward': [], 'realtime': [], 'forward': [FORWARD]})
    write_json(parts / 'ssr.json', [STEPS])
    for paths in ([one], [parts], [parts / 'epm.json', parts / 'rec.json', parts / 'ssr.json']):
        report = score_stored(OVO, paths)
        counts = {t.task: (t.responses, t.right, t.empty) for t in report.scores.tasks}
        assert counts == right and report.complete
    assert main.main(['evaluate', 'ovo', '--score', str(parts), '--json']) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed['groups'] == {'backward': 75.0, 'forward': 75.0} and printed['total'] is None
    assert main.main(['evaluate', 'ovo', '--score', str(one)]) == 0
    assert any(
        line.split()[:3] == ['EPM', '8', '6'] for line in capsys.readouterr().out.split('\n')
    )


def test_truths_that_a_file_lacks_come_from_the_annotations(tmp_path):
    bare = {name: value for name, value in stored(3, 'C').items() if name != 'ground_truth'}
    path = write_json(tmp_path / 'bare.json', [bare])
    with pytest.raises(CommandError, match='give the annotations with --annotations'):
        score_stored(OVO, [path])
    annotations = write_json(tmp_path / 'a.json', [choice(3, 'EPM', 'a.mp4', 3, gt=2)])
    [task] = score_stored(OVO, [path], [annotations]).scores.tasks
    assert task.right == 1


@pytest.mark.parametrize(
    ('value', 'sentence'),
    [
        (3, 'is neither a list of responses nor an object with lists'),
        ({'backward': 3}, 'is neither a list of responses nor an object with lists'),
        (stored(0, 'B'), 'is neither a list of responses nor an object with lists'),
        ([3], 'entry 0 is 3 and not a JSON object'),
        ([], 'There is no response in'),
        ([stored(0, {'text': 'B'})], r'response is \{"text": "B"\}; it has to be a text, a list'),
        ([stored(0, 'B', task='XYZ')], 'task is "XYZ"; it has to be one of EPM, ASI'),
        ([stored(0, 'B', ground_truth='green')], 'ground_truth is "green"; it has to be 0 to 25'),
        ([{'task': 'REC'}], "has no field 'test_info'; it has task"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, value, sentence):
    with pytest.raises(CommandError, match=sentence):
        read_ovo_stored([write_json(tmp_path / 'x.json', value)])


def test_files_that_are_not_there_are_named(tmp_path, capsys):
    (tmp_path / 'torn.json').write_text('{"backward": [')
    for path, sentence in (
        (tmp_path / 'none.json', 'does not exist; give a file of responses, or a folder.'),
        (tmp_path / 'torn.json', 'is not a file of JSON: Expecting value'),
    ):
        assert main.main(['evaluate', 'ovo', '--score', str(path)]) == 1
        assert sentence in capsys.readouterr().err
    with pytest.raises(CommandError, match='has no file that ends in'):
        (tmp_path / 'empty').mkdir()
        score_stored(OVO, [tmp_path / 'empty'])


def test_a_question_that_is_there_twice_counts_twice_and_is_told(tmp_path):
    path = write_json(tmp_path / 'x.json', [stored(0, 'B'), stored(0, 'A'), stored(1, 'B')])
    report = score_stored(OVO, [path])
    assert report.scores.tasks[0].responses == 3
    assert any('1 questions are there more than once' in note for note in report.notes)


def test_streamingbench_has_the_responses_in_its_annotations(tmp_path):
    asked = {'task_type': 'Counting', 'time_stamp': '00:01:00', 'answer': 'C'}
    proactive = {
        'task_type': 'Proactive Output',
        'question': 'Say "3".',
        'time_stamp': '00:00:20',
        'ground_truth_time_stamp': '00:00:29',
        'ground_truth_output': '3',
    }
    said = {'answered': 28, 'dialog_history': [{'time': 28, 'content': 'It is 3'}]}
    never = {'answered': False, 'dialog_history': [{'time': 33, 'content': 'no'}]}
    entries = [
        {'video_path': 'a.mp4', 'questions': [{**asked, 'M': 'C.'}, {**asked, 'M': 'It is C'}]},
        [{'video_path': 'b.mp4', 'questions': [{**asked, 'M': None}, asked]}],
        {
            'video_path': 'c.mp4',
            'questions': [{**proactive, 'M': said}, {**proactive, 'M': never}],
        },
    ]
    path = write_json(tmp_path / 'real.json', entries)
    report = score_stored(STREAMINGBENCH, [path])
    counts = {t.task: (t.responses, t.right, t.empty, t.in_time) for t in report.scores.tasks}
    assert counts == {'Counting': (3, 1, 1, None), 'Proactive Output': (2, 1, 0, 1)}
    assert not report.complete and [*map(len, report.not_asked.values())] == [1]
    entries[0]['questions'][0]['other'] = 'A'
    path = write_json(tmp_path / 'two.json', entries)
    with pytest.raises(CommandError, match='have responses of M, other; name the one to score'):
        score_stored(STREAMINGBENCH, [path])
    [task] = score_stored(STREAMINGBENCH, [path], model='other').scores.tasks
    assert (task.responses, task.right) == (1, 0)
    with pytest.raises(CommandError, match="No question has a response of 'third'"):
        score_stored(STREAMINGBENCH, [path], model='third')
