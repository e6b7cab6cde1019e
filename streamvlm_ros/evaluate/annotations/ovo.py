# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""OVO-Bench (Li et al., arXiv 2501.05510): its annotations become questions."""

from __future__ import annotations

import math
import pathlib

from streamvlm_ros.errors import CommandError
from streamvlm_ros.evaluate.annotations.fields import Fields, read_json
from streamvlm_ros.evaluate.annotations.prompts import OvoPrompts
from streamvlm_ros.evaluate.question import Question
from streamvlm_ros.evaluate.score import OVO

FORWARD = OVO.groups[2].tasks
YES_NO = ('No', 'Yes')  # by the annotations' `type`


def read_ovo(path: pathlib.Path, prompts: OvoPrompts) -> list[Question]:
    """Read a file of annotations: a list with an object for each question.

    A question of the forward tasks is asked at each time of its ``test_info``; each of these is
    a question of its own here.  A question sees the video from 0 to the next whole second.

    Raises:
        CommandError: it is no such file; the sentence says where it is wrong.

    """
    entries = read_json(path)
    if not isinstance(entries, list) or not entries:
        raise CommandError(
            f'{path} is not a list of questions; give the annotations of OVO-Bench, '
            'data/ovo_bench_new.json.'
        )
    questions: list[Question] = []
    seen = set()
    for number, entry in enumerate(entries):
        fields = Fields(f'{path}, entry {number}', entry)
        task = fields.text('task')
        if task not in OVO.tasks:
            fields.refuse('task', task, 'one of ' + ', '.join(OVO.tasks))
        identity = str(fields.number('id'))
        if identity in seen:
            raise CommandError(f'{fields.where}: id {identity} is there twice.')
        seen.add(identity)
        if task in FORWARD:
            questions += _forward(identity, task, fields, prompts)
        else:
            questions.append(_choice(identity, task, fields, prompts))
    return questions


def letter(index: int) -> str:
    """Return the letter of an option, from 0 on."""
    return chr(ord('A') + index)


def _choice(identity: str, task: str, fields: Fields, prompts: OvoPrompts) -> Question:
    options = fields.texts('options')
    truth = fields.number('gt', len(options) - 1)
    listed = ' '.join(f'{letter(i)}. {option};' for i, option in enumerate(options))
    return Question(
        key=identity,
        task=task,
        video=fields.text('video'),
        start_s=0.0,
        times_s=(_end(fields),),
        prompt=prompts.choice.format(question=fields.text('question'), options=listed),
        rule='letter',
        truth=letter(truth),
    )


def _forward(identity: str, task: str, fields: Fields, prompts: OvoPrompts) -> list[Question]:
    questions = []
    for index, entry in enumerate(fields.array('test_info')):
        asked = Fields(f'{fields.where}, test_info {index}', entry)
        if task == 'REC':
            text = f'How many times did they {fields.text("activity")}?'
            prompt, truth = prompts.count.format(question=text), str(asked.number('count'))
        else:
            prompt = (
                prompts.step.format(step=asked.text('step'))
                if task == 'SSR'
                else prompts.evidence.format(question=fields.text('question'))
            )
            truth = YES_NO[asked.number('type', 1)]
        questions.append(
            Question(
                key=f'{identity}_{index}',
                task=task,
                video=fields.text('video'),
                start_s=0.0,
                times_s=(_end(asked),),
                prompt=prompt,
                rule='count' if task == 'REC' else 'yes_no',
                truth=truth,
            )
        )
    return questions


def _end(fields: Fields) -> float:
    return float(math.ceil(fields.seconds('realtime')))
