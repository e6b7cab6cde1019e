# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""StreamingBench (Lin et al., arXiv 2411.03628): its annotations become questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import pathlib

from streamvlm_ros.errors import CommandError
from streamvlm_ros.evaluate.annotations.fields import Fields, read_json
from streamvlm_ros.evaluate.annotations.prompts import StreamingBenchPrompts
from streamvlm_ros.evaluate.question import Question
from streamvlm_ros.evaluate.score import STREAMINGBENCH

CONTEXT_S = 60.0  # of video before a question, in the paper's main table
POLL_S = 1.0  # between two polls of a proactive question
POLLED_PAST_S = 4.0  # the truth, at most
SEQUENTIAL = 'Sequential Question Answering'
LETTERS = 'ABCD'


def read_streamingbench(
    paths: Sequence[pathlib.Path], prompts: StreamingBenchPrompts, context_s: float
) -> list[Question]:
    """Read files of annotations: lists of videos with their questions.

    A choice question sees the video from ``context_s`` before its time.  A sequential one also
    reads the questions before it with their right answers.  A proactive one is polled every second
    from its time on, which is where its video begins, until a yes or 4 s after the truth.

    Args:
        paths: the files, of whichever tasks.
        prompts: what is asked.
        context_s: seconds before a question that the model is shown; 0: all.

    Raises:
        CommandError: a file is none of these; the sentence says where it is wrong.

    """
    questions: list[Question] = []
    for path in paths:
        contexts: dict[str, str] = {}
        for number, fields in enumerate(records(path)):
            video = fields.text('video_path')
            for index, entry in enumerate(fields.array('questions')):
                asked = Fields(f'{fields.where}, question {index}', entry)
                key = f'{path.stem}/{number}/{index}'
                task = asked.text('task_type')
                if task not in STREAMINGBENCH.tasks:
                    asked.refuse('task_type', task, 'one of ' + ', '.join(STREAMINGBENCH.tasks))
                if 'ground_truth_time_stamp' in asked.values:
                    questions.append(_proactive(key, task, video, asked, prompts))
                else:
                    earlier = contexts.get(video, '')
                    questions.append(_choice(key, task, video, asked, prompts, context_s, earlier))
                    contexts[video] = earlier + _turn(asked, prompts)
    if len({each.key for each in questions}) < len(questions):
        raise CommandError('Two files of annotations have the same name; rename one of them.')
    return questions


def records(path: pathlib.Path) -> Iterator[Fields]:
    """Yield the videos of a file, each with its questions; some files have lists of them.

    Raises:
        CommandError: it is another file.

    """
    data = read_json(path)
    if not isinstance(data, list) or not data:
        raise CommandError(
            f'{path} is not a list of videos with questions; give an annotation file of '
            'StreamingBench, such as questions_real.json.'
        )
    for number, entry in enumerate(data):
        for part in entry if isinstance(entry, list) else [entry]:
            yield Fields(f'{path}, entry {number}', part)


def right_letter(fields: Fields) -> str:
    """Return the right letter of a choice question; CommandError: there is none."""
    answer = fields.text('answer').strip()
    if len(answer) != 1 or answer not in LETTERS:
        fields.refuse('answer', answer, f'one letter of {LETTERS}')
    return answer


def _choice(
    key: str,
    task: str,
    video: str,
    fields: Fields,
    prompts: StreamingBenchPrompts,
    context_s: float,
    earlier: str,
) -> Question:
    time_s = fields.clock('time_stamp')
    words = {'question': fields.text('question'), 'options': _options(fields)}
    if task == SEQUENTIAL:
        context = prompts.opening.format() + earlier if earlier else ''
        prompt = prompts.sequence.format(context=context, **words)
    else:
        prompt = prompts.choice.format(**words)
    return Question(
        key=key,
        task=task,
        video=video,
        start_s=max(0.0, time_s - context_s) if context_s else 0.0,
        times_s=(time_s,),
        prompt=prompt,
        rule='first_letter',
        truth=right_letter(fields),
    )


def _proactive(
    key: str, task: str, video: str, fields: Fields, prompts: StreamingBenchPrompts
) -> Question:
    start_s = fields.clock('time_stamp')
    truth_s = fields.clock('ground_truth_time_stamp')
    polls = int((truth_s + POLLED_PAST_S - start_s) / POLL_S)
    if polls < 1:
        fields.refuse(
            'ground_truth_time_stamp',
            fields.get('ground_truth_time_stamp'),
            f'after time_stamp, {fields.get("time_stamp")}',
        )
    question, output = fields.text('question'), fields.text('ground_truth_output')
    return Question(
        key=key,
        task=task,
        video=video,
        start_s=start_s,
        times_s=tuple(start_s + POLL_S * (number + 1) for number in range(polls)),
        prompt=prompts.poll.format(question=question, output=output),
        then_ask=prompts.output.format(question=question),
        rule='output',
        truth=output,
        truth_s=truth_s,
    )


def _turn(fields: Fields, prompts: StreamingBenchPrompts) -> str:
    """Return what later questions of the video are told of a question."""
    return prompts.turn.format(
        time=fields.text('time_stamp'),
        question=fields.text('question'),
        options=_options(fields),
        answer=right_letter(fields),
    )


def _options(fields: Fields) -> list[str]:
    """Return the four options, each with its letter before it.

    Some of the published entries have more, of which the benchmark's program takes the first four.
    """
    options = fields.texts('options')[: len(LETTERS)]
    if len(options) < len(LETTERS):
        fields.refuse('options', options, 'a list of four texts')
    if options[0].startswith('A.'):
        return options
    return [f'{letter}. {option}' for letter, option in zip(LETTERS, options)]
