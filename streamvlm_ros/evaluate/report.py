# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A benchmark's result: as JSON, and as a table by task with sentences about what is not in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import statistics
from typing import Any

from streamvlm_ros.evaluate.question import Question, Response
from streamvlm_ros.evaluate.responses import ResponseFile
from streamvlm_ros.evaluate.score import Benchmark, score, Scores

SHOWN = 3  # of the questions of one kind, by name


@dataclasses.dataclass(frozen=True)
class Figures:
    """What StreamingEval ranks by, besides the accuracy; each is None where nothing was measured.

    Attributes:
        max_fps: frames a second that the stream takes: frames by the time they took.
        memory_bytes: most memory of the GPUs, without a GPU of the process.
        first_token_s: median time from a question to the first token of its answer.
        first_token_95_s: the time within which 95 of 100 first tokens came.

    """

    max_fps: float | None
    memory_bytes: int | None
    first_token_s: float | None
    first_token_95_s: float | None

    @classmethod
    def of(cls, responses: Mapping[str, Any], videos: Sequence[Mapping[str, Any]]) -> Figures:
        """Take them from the lines of a file of responses."""
        first = sorted(row['first_token_s'] for row in responses.values())
        seconds = sum(row['append_s'] for row in videos)
        return cls(
            sum(row['frames'] for row in videos) / seconds if seconds else None,
            max((row['memory_bytes'] for row in videos), default=None),
            statistics.median(first) if first else None,
            first[max(0, -(-95 * len(first) // 100) - 1)] if first else None,
        )


@dataclasses.dataclass(frozen=True)
class Report:
    """The result of a run, or of stored responses.

    Attributes:
        benchmark: its name.
        about: what was run, by name; empty for stored responses of others.
        scores: of the responses that are there.
        questions: how many the benchmark has; None: unknown.
        not_asked: the keys of the questions without a response, by reason.
        figures: of speed and memory; None for stored responses of others.
        notes: sentences on what the figures rest on.

    """

    benchmark: str
    about: Mapping[str, Any]
    scores: Scores
    questions: int | None
    not_asked: Mapping[str, Sequence[str]]
    figures: Figures | None
    notes: Sequence[str]

    @property
    def complete(self) -> bool:
        """Whether each question has a response."""
        return not self.not_asked

    def as_json(self) -> dict[str, Any]:
        """Return it for a program."""
        return {
            'benchmark': self.benchmark,
            'about': dict(self.about),
            'complete': self.complete,
            'questions': self.questions,
            'responses': sum(each.responses for each in self.scores.tasks),
            'not_asked': {reason: list(keys) for reason, keys in self.not_asked.items()},
            'tasks': {
                each.task: {'accuracy': each.accuracy, **dataclasses.asdict(each)}
                for each in self.scores.tasks
            },
            'groups': self.scores.groups,
            'total': self.scores.total,
            'figures': {**dataclasses.asdict(self.figures), 'accuracy': _accuracy(self.scores)}
            if self.figures
            else None,
            'notes': list(self.notes),
        }

    def lines(self) -> list[str]:
        """Return it for people."""
        about = self.about
        lines = []
        if about:
            lines.append(
                f'{about["model"]} on {about["device"]} in {about["dtype"]}, '
                f'view {about["view"]}, {about["rate"]:g} frames a second.'
            )
        lines += self._table()
        if self.figures:
            lines += ['', *_figure_lines(self.figures, self.scores)]
        for reason, keys in self.not_asked.items():
            some = ', '.join(keys[:SHOWN]) + (', ...' if len(keys) > SHOWN else '')
            lines.append(f'Not asked and not scored: {len(keys)} ({some}): {reason}')
        return [*lines, *self.notes]

    def _table(self) -> list[str]:
        rows: list[tuple[str, ...]] = [
            ('task', 'responses', 'right', 'no response', 'other form', 'in time', 'accuracy')
        ]
        for each in self.scores.tasks:
            timed = '' if each.in_time is None else str(each.in_time)
            counts = (each.responses, each.right, each.empty, each.out_of_form)
            rows.append((each.task, *map(str, counts), timed, f'{each.accuracy:.2f}'))
        for name, value in self.scores.groups.items():
            rows.append((name, '', '', '', '', '', f'{value:.2f}'))
        if self.scores.total is not None:
            rows.append(('total', '', '', '', '', '', f'{self.scores.total:.2f}'))
        widths = [max(map(len, column)) for column in zip(*rows)]
        return [
            '  '.join(
                [row[0].ljust(widths[0]), *(text.rjust(w) for text, w in zip(row[1:], widths[1:]))]
            )
            for row in rows
        ]


def report_of(
    benchmark: Benchmark, file: ResponseFile, questions: Sequence[Question] | None = None
) -> Report:
    """Report on a file of responses.

    Args:
        benchmark: whose they are.
        file: the responses.
        questions: what is to be in it; None: what the file itself tells of.

    """
    wanted = {each.key: each.task for each in questions} if questions is not None else None
    rows = {key: row for key, row in file.questions.items() if wanted is None or key in wanted}
    answered = {key: row for key, row in rows.items() if 'response' in row}
    not_asked: dict[str, list[str]] = {}
    for key in rows if wanted is None else wanted:
        if key not in answered:
            reason = rows.get(key, {}).get('not_asked', 'the run has not come to it yet')
            not_asked.setdefault(reason, []).append(key)
    about = {name: value for name, value in file.about.items() if name != 'run'}
    return Report(
        benchmark.name,
        about,
        score(
            benchmark,
            [
                Response(row['task'], row['rule'], row['truth'], row['response'], row['late_s'])
                for row in answered.values()
            ],
        ),
        len(rows if wanted is None else wanted),
        not_asked,
        Figures.of(answered, file.videos),
        _notes(answered, file.videos),
    )


def _notes(answered: Mapping[str, Any], videos: Sequence[Mapping[str, Any]]) -> list[str]:
    notes = []
    moved = sum(not row['exact'] for row in answered.values())
    if moved:
        notes.append(
            f'{moved} of {len(answered)} answers came after a part of the video had left the '
            'memory; --set capacity=... gives it more room.'
        )
    beyond = sum(row['beyond_end_s'] > 1.0 for row in answered.values())
    if beyond:
        notes.append(
            f'{beyond} questions ask for a time that is more than 1 s after the end of their '
            'video; they were asked at its end.'
        )
    damaged = {row['video']: row['damaged_pictures'] for row in videos}
    if any(damaged.values()):
        notes.append(
            f'{sum(damaged.values())} damaged pictures were left out, in '
            f'{sum(map(bool, damaged.values()))} videos.'
        )
    for name, fault in {row['video']: row['fault'] for row in videos}.items():
        if fault:
            notes.append(f'{name}: {fault}')
    return notes


def _figure_lines(figures: Figures, scores: Scores) -> list[str]:
    def said(value: float | None, form: str) -> str:
        return 'not measured' if value is None else form.format(value)

    memory = None if figures.memory_bytes is None else figures.memory_bytes / 1e9
    return [
        'frames a second   ' + said(figures.max_fps, '{:.1f}'),
        'memory            ' + said(memory, '{:.2f} GB'),
        'first token       '
        + said(figures.first_token_s, '{:.3f} s')
        + said(figures.first_token_95_s, ' (95 of 100 within {:.3f} s)'),
        'accuracy          ' + said(_accuracy(scores), '{:.2f} %'),
    ]


def _accuracy(scores: Scores) -> float | None:
    """Return the total, or the mean of the groups that there are."""
    if scores.total is not None or not scores.groups:
        return scores.total
    return sum(scores.groups.values()) / len(scores.groups)
