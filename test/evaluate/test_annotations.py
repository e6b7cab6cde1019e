# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The annotations of OVO-Bench and StreamingBench become questions, and wrong files are told."""

from __future__ import annotations

import pathlib

import pytest
from support.evaluate.benchmarks import choice, forward, ovo_annotations, OVO_WORDS, write_json

from streamvlm_ros.errors import CommandError
from streamvlm_ros.evaluate.annotations.prompts import OvoPrompts, StreamingBenchPrompts
from streamvlm_ros.evaluate.annotations.read import read_questions
from streamvlm_ros.evaluate.score import OVO, STREAMINGBENCH

LISTED = """
T = '''{}'''
PROMPT_TEMPLATE = '''Choose. {}
{} {} {} {}'''
def run(ques, options):
    inp = ''
    inp = PROMPT_TEMPLATE.format(ques, *options)
    inp += ' Best {1}:'
    inp += ' Never'
"""
SEQUENCE = """
PROMPT_TEMPLATE = '[{}] {} {} {} {} {}'
def run(question, ques, options):
    context = ''
    context += 'Before: '
    context += f"At {question['time_stamp']} {ques} {options[3]} {question['answer']};"
"""
PROACTIVE = """
PROMPT_TEMPLATE_PROACTIVE = 'Q {} A:'
def run(question):
    query = f"{question['question']} Now \\"{question['ground_truth_output']}\\"?"
"""


def asked_of(path: pathlib.Path, benchmark=OVO, **options):
    return read_questions(benchmark, [path], **options)[0]


def test_every_task_of_ovo_is_asked_at_its_times(tmp_path):
    path = write_json(tmp_path / 'a.json', ovo_annotations(('a/0.mp4', 'b/1.mp4')))
    questions = {each.key: each for each in asked_of(path)}
    assert {each.task for each in questions.values()} == {*OVO.tasks}
    assert all(each.start_s == 0.0 for each in questions.values())
    # The video up to the next whole second.
    assert [questions[key].times_s for key in ('0', '7', '10_0', '10_1')] == [
        (4.0,),
        (9.0,),
        (7.0,),
        (3.0,),
    ]
    assert (questions['0'].rule, questions['0'].truth) == ('letter', 'B')
    assert 'A. red; B. green; C. blue;' in questions['0'].prompt
    assert (questions['9_0'].rule, questions['9_0'].truth.isdecimal()) == ('count', True)
    assert 'How many times did they wave?' in questions['9_0'].prompt
    assert [questions[f'10_{i}'].truth for i in (0, 1)] == ['Yes', 'No']
    assert 'a cone' in questions['10_1'].prompt and 'what left' in questions['11_0'].prompt


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (dict(task='EPN'), 'entry 0: task is "EPN"; it has to be one of EPM'),
        (dict(gt=3), 'gt is 3; it has to be 0 to 2'),
        (dict(gt=True), 'gt is true'),
        (dict(options=[]), r'options is \[\]; it has to be a list with something in it'),
        (dict(options=['a', 1]), 'it has to be a list of texts'),
        (dict(question=' '), 'question is " "; it has to be a text'),
        (dict(realtime='3'), 'realtime is "3"; it has to be a number of seconds'),
        (dict(realtime=-1), 'realtime is -1'),
        (dict(realtime=float('nan')), 'realtime is NaN'),
        (dict(realtime=float('inf')), 'realtime is Infinity'),
        (dict(id='x'), 'id is "x"'),
        (dict(video=None), 'video is null'),
    ],
)
def test_a_wrong_field_of_ovo_is_named(tmp_path, change, sentence):
    entry = {**choice(0, 'EPM', 'a.mp4', 3), **change}
    with pytest.raises(CommandError, match=sentence):
        asked_of(write_json(tmp_path / 'a.json', [entry]))


def test_wrong_files_of_ovo_are_named(tmp_path):
    entry = choice(0, 'EPM', 'a.mp4', 3)
    bare = {name: value for name, value in entry.items() if name != 'gt'}
    rec = forward(1, 'REC', 'a.mp4', [{'realtime': 3}])
    for value, sentence in (
        ([bare], "has no field 'gt'; it has id, task, video, realtime"),
        ([entry, entry], 'entry 1: id 0 is there twice'),
        ([rec], "test_info 0 has no field 'count'"),
        ([forward(1, 'SSR', 'a.mp4', [])], r'test_info is \[\]'),
        ([[entry]], 'and not a JSON object'),
        ({'0': entry}, 'is not a list of questions; give the annotations of OVO-Bench'),
    ):
        with pytest.raises(CommandError, match=sentence):
            asked_of(write_json(tmp_path / 'a.json', value))
    (tmp_path / 'a.json').write_bytes(b'\x00\xff')
    with pytest.raises(CommandError, match='is not a file of JSON'):
        asked_of(tmp_path / 'a.json')
    with pytest.raises(CommandError, match='cannot be read: No such file'):
        asked_of(tmp_path / 'none.json')


def choice_at(time, task='Counting', **fields):
    return {
        'task_type': task,
        'question': f'How many at {time}?',
        'time_stamp': time,
        'answer': 'C',
        'options': ['1', '2', '3', '{4}'],
        'required_ability': 'working memory',
        **fields,
    }


def proactive(start, truth):
    return {
        'task_type': 'Proactive Output',
        'question': 'When the light is red, output "red".',
        'time_stamp': start,
        'ground_truth_time_stamp': truth,
        'ground_truth_output': 'red',
    }


def test_streamingbench_asks_about_the_minute_before(tmp_path):
    entry = {'video_path': './v/a.mp4', 'questions': [choice_at('00:01:30'), choice_at('0:10')]}
    path = write_json(tmp_path / 'real.json', [entry])
    first, second = asked_of(path, STREAMINGBENCH)
    assert (first.start_s, first.times_s, first.truth) == (30.0, (90.0,), 'C')
    assert (second.start_s, second.times_s) == (0.0, (10.0,))
    assert 'A. 1\nB. 2\nC. 3\nD. {4}' in first.prompt and first.rule == 'first_letter'
    assert asked_of(path, STREAMINGBENCH, context_s=0.0)[0].start_s == 0.0
    lettered = ['A. 1', 'B. 2', 'C. 3', 'D. 4', 'E. 5']
    entry['questions'] = [choice_at('0:10', options=lettered)]
    [only] = asked_of(write_json(path, [entry]), STREAMINGBENCH)
    assert 'A. 1\nB. 2' in only.prompt and 'E. 5' not in only.prompt


def test_a_sequential_question_reads_those_before_it_of_its_video(tmp_path):
    task = 'Sequential Question Answering'
    first = {
        'video_path': 'a.mp4',
        'questions': [choice_at('0:10', task), choice_at('0:20', task)],
    }
    second = {'video_path': 'a.mp4', 'questions': [choice_at('0:30', task)]}
    other = {'video_path': 'b.mp4', 'questions': [choice_at('0:40', task)]}
    for entries in ([first, second, other], [[first, second], [other]]):
        path = write_json(tmp_path / 'sqa.json', entries)
        prompts = [each.prompt for each in asked_of(path, STREAMINGBENCH)]
        assert [
            [time for time in ('0:10', '0:20', '0:30', '0:40') if f'How many at {time}?' in prompt]
            for prompt in prompts
        ] == [['0:10'], ['0:10', '0:20'], ['0:10', '0:20', '0:30'], ['0:40']]
        assert prompts[2].count('Answer: C') == 2


def test_a_proactive_question_is_polled_every_second_until_4_s_past_the_truth(tmp_path):
    entry = {'video_path': 'a.mp4', 'questions': [proactive('00:00:20', '00:00:23')]}
    [question] = asked_of(write_json(tmp_path / 'p.json', [entry]), STREAMINGBENCH)
    assert question.start_s == 20.0 and question.times_s == tuple(map(float, range(21, 28)))
    assert (question.truth, question.truth_s, question.rule) == ('red', 23.0, 'output')
    assert '"red"' in question.prompt and question.then_ask


@pytest.mark.parametrize(
    ('questions', 'sentence'),
    [
        ([choice_at('1:x')], 'time_stamp is "1:x"; it has to be a time such as 00:03:10'),
        ([choice_at('0:10', 'Cooking')], 'task_type is "Cooking"; it has to be one of Object'),
        ([choice_at('0:10', answer='E')], 'answer is "E"; it has to be one letter of ABCD'),
        ([choice_at('0:10', options=['1', '2'])], 'it has to be a list of four texts'),
        ([proactive('00:00:20', '00:00:10')], 'it has to be after time_stamp, 00:00:20'),
        ([], r'questions is \[\]'),
    ],
)
def test_wrong_files_of_streamingbench_are_named(tmp_path, questions, sentence):
    path = write_json(tmp_path / 'x.json', [{'video_path': 'a.mp4', 'questions': questions}])
    with pytest.raises(CommandError, match=sentence):
        asked_of(path, STREAMINGBENCH)
    with pytest.raises(CommandError, match='is not a list of videos with questions'):
        asked_of(write_json(path, {}), STREAMINGBENCH)


def test_the_words_of_a_benchmark_are_read_from_its_clone_and_nothing_is_run(tmp_path):
    (tmp_path / 'constant.py').write_text(OVO_WORDS)
    words = OvoPrompts.of(tmp_path)
    assert words.step.format(step='a {ball}') == 'Is there now a {ball}?'
    assert words.count.format(question='?') == 'How many objects do you see now?'
    assert words.choice.format(question='Q', options='A. x;') == 'Q '
    path = write_json(tmp_path / 'a.json', [choice(0, 'EPM', 'a.mp4', 3)])
    own, theirs = (read_questions(OVO, [path], protocol)[1] for protocol in (None, tmp_path))
    assert own.startswith('own ') and theirs.startswith("the benchmark's ")
    folder = tmp_path / 'src' / 'benchmark'
    folder.mkdir(parents=True)
    for name, text in (('', LISTED), ('SQA', SEQUENCE), ('Proactive', PROACTIVE)):
        (folder / f'StreamingBench{name}.py').write_text(text)
    listed = StreamingBenchPrompts.of(tmp_path)
    options = ['w', 'x', 'y', '{z}']
    assert listed.choice.format(question='Q', options=options) == 'Choose. Q\nw x y {z} Best {1}:'
    assert listed.sequence.format(context='C', question='Q', options=options) == '[C] Q w x y {z}'
    turn = listed.turn.format(time='0:10', question='Q', options=options, answer='C')
    assert (listed.opening, turn) == ('Before: ', 'At 0:10 Q {z} C;')
    assert listed.poll.format(question='Q', output='3') == 'Q Q Now "3"? A:'
    assert listed.output.format(question='Q') == 'Q Q A:'


@pytest.mark.parametrize(
    ('text', 'sentence'),
    [
        (OVO_WORDS.replace('REC_', 'RFC_'), 'has not a text REC_PROMPT_TEMPLATE with 1 places'),
        (OVO_WORDS.replace("'Is there now {}?'", "'Is there?'"), 'has not a text SSR_PROMPT'),
        (OVO_WORDS.replace("'Is there now {}?'", "'{now} {'"), 'has not a text SSR_PROMPT'),
        ('x = (', 'is not a Python file'),
    ],
)
def test_a_clone_of_another_version_is_told(tmp_path, text, sentence):
    (tmp_path / 'constant.py').write_text(text)
    with pytest.raises(CommandError, match=sentence):
        OvoPrompts.of(tmp_path)
    with pytest.raises(CommandError, match='give --protocol a clone of the benchmark'):
        StreamingBenchPrompts.of(tmp_path)
