# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stored responses of other programs, in the benchmarks' own files, become scored ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
import dataclasses
import pathlib
from typing import Any

from streamvlm_ros.errors import CommandError
from streamvlm_ros.evaluate.annotations.fields import Fields, read_json
from streamvlm_ros.evaluate.annotations.ovo import FORWARD, letter, YES_NO
from streamvlm_ros.evaluate.annotations.streamingbench import records, right_letter
from streamvlm_ros.evaluate.question import Response
from streamvlm_ros.evaluate.score import OVO, STREAMINGBENCH

Truths = Mapping[str, str]  # of choice questions, by their ids
# The fields of StreamingBench's questions; another one has a model's responses.
ANNOTATED = (
    'answer',
    'audio_path',
    'cause',
    'effect',
    'ground_truth_output',
    'ground_truth_time_stamp',
    'options',
    'question',
    'required_ability',
    'task_type',
    'time',
    'time_stamp',
)


@dataclasses.dataclass
class Stored:
    """Responses that were found.

    Attributes:
        responses: in the order of the files.
        twice: how many questions there are of which there is more than one response; each
            response counts, as in the benchmark's own scorer.
        without: places of the questions that have no response; they are not scored.

    """

    responses: list[Response]
    twice: int
    without: Sequence[str] = ()


def read_ovo_stored(paths: Iterable[pathlib.Path], truths: Truths | None = None) -> Stored:
    """Read stored responses to OVO-Bench, in one file for all tasks or in several.

    A file has an object with a list for each group of tasks, or one list.  An entry of a list has
    ``task`` and ``response`` and the right letter as ``ground_truth``, or it is an annotation with
    ``response`` added to it, or to each of its ``test_info``.

    Args:
        paths: files, or folders with files that end in .json.
        truths: of entries that do not have it themselves.

    Raises:
        CommandError: a file is of another form; the sentence says where.

    """
    found: list[Response] = []
    seen: dict[str, int] = {}
    for path in json_files(paths):
        for fields in _entries(path):
            task = fields.text('task')
            if task not in OVO.tasks:
                fields.refuse('task', task, 'one of ' + ', '.join(OVO.tasks))
            name = f'{task} {fields.values.get("id")}'
            if 'id' in fields.values:
                seen[name] = seen.get(name, 0) + 1
            if task in FORWARD:
                found += _forward(task, fields)
            else:
                found.append(
                    Response(task, 'letter', _truth(fields, truths), response_text(fields))
                )
    if not found:
        raise CommandError('There is no response in ' + ', '.join(map(str, paths)) + '.')
    return Stored(found, sum(count > 1 for count in seen.values()))


def json_files(paths: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    """Return files, and those of folders that end in .json.

    Raises:
        CommandError: a folder has none.

    """
    files: list[pathlib.Path] = []
    for path in paths:
        within = sorted(path.glob('*.json')) if path.is_dir() else [path]
        if not within:
            raise CommandError(f'{path} has no file that ends in .json.')
        files += within
    return files


def response_text(fields: Fields, name: str = 'response') -> str | None:
    """Return a response as a text; None: there is none.

    Of a list, which some models' programs store, the first entry is it.

    Raises:
        CommandError: it is something else.

    """
    value: Any = fields.values.get(name)
    while isinstance(value, list):
        value = value[0] if value else None
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bool, dict)):
        fields.refuse(name, value, 'a text, a list with a text, or null')
    return str(value)


def _entries(path: pathlib.Path) -> Iterator[Fields]:
    data = read_json(path)
    groups = data if isinstance(data, dict) else {'': data}
    if 'task' in groups or not all(isinstance(each, list) for each in groups.values()):
        raise CommandError(
            f'{path} is neither a list of responses nor an object with lists of responses '
            '(backward, realtime, forward).'
        )
    for group, entries in groups.items():
        for number, entry in enumerate(entries):
            yield Fields(f'{path}, {group or "entry"} {number}', entry)


def _truth(fields: Fields, truths: Truths | None) -> str:
    """Return the right letter of a choice question."""
    if 'ground_truth' in fields.values:
        value = fields.values['ground_truth']
        if isinstance(value, str) and len(value.strip()) == 1 and value.strip().isupper():
            return value.strip()
        return letter(fields.number('ground_truth', 25))
    if 'gt' in fields.values:
        return letter(fields.number('gt', 25))
    identity = str(fields.values.get('id'))
    if truths is None or identity not in truths:
        raise CommandError(
            f'{fields.where} has no ground_truth; give the annotations with --annotations too.'
        )
    return truths[identity]


def _forward(task: str, fields: Fields) -> Iterator[Response]:
    for number, entry in enumerate(fields.array('test_info')):
        asked = Fields(f'{fields.where}, test_info {number}', entry)
        text = response_text(asked)
        if task == 'REC':
            yield Response(task, 'count', str(asked.number('count')), text)
        else:
            yield Response(task, 'yes_no', YES_NO[asked.number('type', 1)], text)


def read_streamingbench_stored(paths: Iterable[pathlib.Path], model: str = '') -> Stored:
    """Read StreamingBench's annotations with a model's responses in each question.

    Args:
        paths: files, or folders with files that end in .json.
        model: name of the field with the responses; '': there is one field that the annotations
            do not have.

    Raises:
        CommandError: a file is of another form, or has no such field.

    """
    asked = [
        Fields(f'{fields.where}, question {index}', entry)
        for path in json_files(paths)
        for fields in records(path)
        for index, entry in enumerate(fields.array('questions'))
    ]
    name = model or _only_model(asked)
    found = [_streamed(fields, name) for fields in asked if name in fields.values]
    if not found:
        raise CommandError(f'No question has a response of {name!r}.')
    return Stored(found, 0, [each.where for each in asked if name not in each.values])


def _only_model(asked: Iterable[Fields]) -> str:
    names = sorted({name for fields in asked for name in fields.values} - set(ANNOTATED))
    if len(names) != 1:
        raise CommandError(
            'The questions have '
            + (f'responses of {", ".join(names)}' if names else 'no responses')
            + '; name the one to score with --model.'
        )
    return names[0]


def _streamed(fields: Fields, name: str) -> Response:
    task = fields.text('task_type')
    if task not in STREAMINGBENCH.tasks:
        fields.refuse('task_type', task, 'one of ' + ', '.join(STREAMINGBENCH.tasks))
    if 'ground_truth_time_stamp' not in fields.values:
        return Response(task, 'first_letter', right_letter(fields), response_text(fields, name))
    history = Fields(f'{fields.where}, {name}', fields.get(name)).array('dialog_history')
    last = Fields(f'{fields.where}, {name}, its last turn', history[-1])
    late_s = last.seconds('time') - fields.clock('ground_truth_time_stamp')
    text = response_text(last, 'content')
    return Response(task, 'output', fields.text('ground_truth_output'), text, late_s)
