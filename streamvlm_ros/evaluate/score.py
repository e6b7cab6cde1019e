# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The tasks of a benchmark, and the averages over responses that its papers state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import dataclasses
from typing import Literal

from streamvlm_ros.evaluate.question import Response


@dataclasses.dataclass(frozen=True)
class Group:
    """Tasks that a benchmark states one figure for.

    Attributes:
        name: of the group.
        tasks: the benchmark's names of them, in its order.
        mean_of: what the figure is a mean of, each with the same weight.

    """

    name: str
    tasks: tuple[str, ...]
    mean_of: Literal['tasks', 'questions']


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """What a benchmark asks; its total is the mean of its groups, if each has a figure."""

    name: str
    groups: tuple[Group, ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        """All of them, in the order of the groups."""
        return tuple(task for group in self.groups for task in group.tasks)


OVO = Benchmark(
    'ovo',
    (
        Group('backward', ('EPM', 'ASI', 'HLD'), 'tasks'),
        Group('realtime', ('OCR', 'ACR', 'ATR', 'STU', 'FPD', 'OJR'), 'tasks'),
        Group('forward', ('REC', 'SSR', 'CRR'), 'tasks'),
    ),
)
STREAMINGBENCH = Benchmark(
    'streamingbench',
    (
        Group(
            'realtime',
            (
                'Object Recognition',
                'Causal Reasoning',
                'Clips Summarize',
                'Attribute Recognition',
                'Event Understanding',
                'Text-Rich Understanding',
                'Prospective Reasoning',
                'Spatial Understanding',
                'Action Recognition',
                'Counting',
            ),
            'questions',
        ),
        Group(
            'omni',
            (
                'Emotion Recognition',
                'Scene Understanding',
                'Source Discrimination',
                'Multimodal Alignment',
            ),
            'questions',
        ),
        Group(
            'context',
            (
                'Misleading Context Understanding',
                'Anomaly Context Understanding',
                'Sequential Question Answering',
                'Proactive Output',
            ),
            'questions',
        ),
    ),
)
BENCHMARKS = {each.name: each for each in (OVO, STREAMINGBENCH)}


@dataclasses.dataclass(frozen=True)
class TaskScore:
    """Counts of one task.

    Attributes:
        task: its name.
        responses: how many there are.
        right: how many of them are right.
        empty: how many are no response at all; these count as wrong.
        out_of_form: how many are another text than was asked for.
        in_time: how many were put out in time; None: the task does not ask for that.

    """

    task: str
    responses: int
    right: int
    empty: int
    out_of_form: int
    in_time: int | None

    @property
    def accuracy(self) -> float:
        """Percent of the responses that are right."""
        return 100.0 * self.right / self.responses

    @classmethod
    def of(cls, task: str, responses: Sequence[Response]) -> TaskScore:
        """Count the responses of one task, of which there is at least one."""
        timed = any(each.late_s is not None for each in responses)
        return cls(
            task,
            len(responses),
            sum(each.is_right for each in responses),
            sum(each.text is None for each in responses),
            sum(each.text is not None and not each.is_in_form for each in responses),
            sum(each.is_in_time for each in responses) if timed else None,
        )


@dataclasses.dataclass(frozen=True)
class Scores:
    """A benchmark's figures in percent.

    Attributes:
        tasks: those with a response, in the benchmark's order.
        groups: by name, of those with a response.
        total: mean of all groups; None: a group has no response.

    """

    tasks: tuple[TaskScore, ...]
    groups: dict[str, float]
    total: float | None


def score(benchmark: Benchmark, responses: Iterable[Response]) -> Scores:
    """Score responses as the benchmark does; each has one of its tasks."""
    by_task: dict[str, list[Response]] = {}
    for response in responses:
        by_task.setdefault(response.task, []).append(response)
    tasks = {
        task: TaskScore.of(task, by_task[task]) for task in benchmark.tasks if task in by_task
    }
    groups = {}
    for group in benchmark.groups:
        found = [tasks[task] for task in group.tasks if task in tasks]
        if found:
            groups[group.name] = _mean_of(group, found)
    whole = len(groups) == len(benchmark.groups)
    total = sum(groups.values()) / len(groups) if whole else None
    return Scores(tuple(tasks.values()), groups, total)


def _mean_of(group: Group, found: Sequence[TaskScore]) -> float:
    if group.mean_of == 'tasks':
        return sum(each.accuracy for each in found) / len(found)
    return 100.0 * sum(each.right for each in found) / sum(each.responses for each in found)
