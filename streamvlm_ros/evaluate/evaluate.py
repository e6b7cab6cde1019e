# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From annotations, videos and a model to a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import math
import pathlib
from typing import Any

import torch

from streamvlm_ros.engine import StreamSettings
from streamvlm_ros.engine.models.devices import gpus_of
from streamvlm_ros.engine.serving.loading import load_streams
from streamvlm_ros.engine.stream.saving.fingerprint import weights_hash
from streamvlm_ros.errors import CommandError
from streamvlm_ros.evaluate.annotations.fields import digest
from streamvlm_ros.evaluate.annotations.read import read_questions
from streamvlm_ros.evaluate.annotations.streamingbench import CONTEXT_S
from streamvlm_ros.evaluate.question import Question
from streamvlm_ros.evaluate.report import Report, report_of
from streamvlm_ros.evaluate.responses import open_responses
from streamvlm_ros.evaluate.run import find_video, Run
from streamvlm_ros.evaluate.score import BENCHMARKS
from streamvlm_ros.evaluate.stream import Stream
from streamvlm_ros.view import ViewName

# Of a frame; the benchmarks' own programs for Qwen2-VL show it so large.
MAX_PIXELS = 360 * 420
TOKEN_PIXELS = 28 * 28  # of a merged patch of Qwen2.5-VL
FRAME_BYTES = 1920 * 1080 * 3  # of a frame that is kept for spans
MOST_RING_BYTES = 4 << 30  # of all of them
QUESTION_TOKENS = 4096  # that the cache has besides a video's


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        benchmark: 'ovo' or 'streamingbench'.
        annotations: its files of annotations.
        videos: the folder of its videos.
        model: 'tiny', a model folder, or a hub id.
        output: file of responses, which is gone on with if it is there.
        view: what each question looks at.
        span_s: of the view 'span': the newest seconds of what the model was shown; 0: all.
        rate: frames a second.
        settings: of the stream, by the names of ``StreamSettings``.
        context_s: of StreamingBench, how much before a question the model is shown; 0: all.
        max_new_tokens: longest answer.
        protocol: clone of the benchmark's repository, whose prompts are taken; None: our own.
        tasks: the benchmark's names of those to ask; empty: all.
        device, dtype, quantization: as ``load_streams`` takes them.

    """

    benchmark: str
    annotations: tuple[pathlib.Path, ...]
    videos: pathlib.Path
    model: str
    output: pathlib.Path
    view: ViewName = 'memory'
    span_s: float = 0.0
    rate: float = 1.0
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    context_s: float = CONTEXT_S
    max_new_tokens: int = 128
    protocol: pathlib.Path | None = None
    tasks: tuple[str, ...] = ()
    device: str = 'auto'
    dtype: str = 'auto'
    quantization: str = 'none'


def evaluate(plan: Plan, log: Callable[[str], object]) -> Report:
    """Run a benchmark, or go on with a run.

    Args:
        plan: what to run.
        log: is called with sentences that say what is done.

    Raises:
        CommandError: annotations, videos or responses are not what they have to be.
        StreamError: the model does not suit the settings, or does not fit the device.
        OSError, ValueError: as ``load_streams``.

    """
    benchmark = BENCHMARKS[plan.benchmark]
    annotated, prompts = read_questions(benchmark, plan.annotations, plan.protocol, plan.context_s)
    settings = stream_settings(plan, annotated)
    questions = _chosen(plan, annotated)
    _check_videos(plan.videos, questions, log)
    with open_responses(plan.output) as responses:
        responses.require(_about(plan, settings, annotated, prompts))
        if all(responses.is_answered(each.key) for each in questions):
            log(f'{plan.output} has a response to every question.')
            return report_of(benchmark, responses, questions)
        [engine] = load_streams(
            plan.model,
            [settings],
            device=plan.device,
            dtype=plan.dtype,
            quantization=plan.quantization,
            log=log,
        )
        gpus = gpus_of(engine.model)
        responses.require(
            {
                'weights': weights_hash(engine.model),
                'dtype': str(engine.model.dtype).removeprefix('torch.'),
                'device': ', '.join(map(torch.cuda.get_device_name, gpus)) or 'cpu',
            }
        )
        stream = Stream(engine, plan.max_new_tokens, plan.view, plan.span_s)
        Run(stream, plan.videos, plan.rate, responses).ask(questions)
        return report_of(benchmark, responses, questions)


def _chosen(plan: Plan, questions: Sequence[Question]) -> list[Question]:
    """Return the questions of a plan's tasks.

    Raises:
        CommandError: there is no such task, or no question of it.

    """
    known = BENCHMARKS[plan.benchmark].tasks
    for task in plan.tasks:
        if task not in known:
            raise CommandError(f'There is no task {task!r}; choose of {", ".join(known)}.')
    found = [each for each in questions if not plan.tasks or each.task in plan.tasks]
    if not found:
        raise CommandError(f'The annotations have no question of {", ".join(plan.tasks)}.')
    return found


def _check_videos(
    folder: pathlib.Path, questions: Sequence[Question], log: Callable[[str], object]
) -> None:
    """Say how many videos are missing.

    Raises:
        CommandError: all of them are.

    """
    names = sorted({each.video for each in questions})
    missing = [name for name in names if find_video(folder, name) is None]
    if len(missing) == len(names):
        raise CommandError(
            f'{folder} has none of the {len(names)} videos, for example {names[0]}; give the '
            'folder of the videos with --videos.'
        )
    if missing:
        asked = sum(each.video in set(missing) for each in questions)
        log(
            f'{len(missing)} of {len(names)} videos are missing in {folder}, for example '
            f'{missing[0]}; {asked} questions about them are neither asked nor scored.'
        )


def stream_settings(plan: Plan, questions: Sequence[Question]) -> StreamSettings:
    """Return the stream's settings: unless the plan says it, room for the longest video.

    For spans the frames are kept as they came, as many as are of use.

    Raises:
        CommandError: there is no such setting, or the plan has one for it elsewhere.
        StreamError: a value is not possible.

    """
    given = dict(plan.settings)
    known = {field.name for field in dataclasses.fields(StreamSettings)}
    for name in given:
        if name == 'sample_rate' or name not in known:
            other = '--rate' if name == 'sample_rate' else 'one of ' + ', '.join(sorted(known))
            raise CommandError(f'{name} cannot be set here; take {other}.')
    if plan.view == 'memory':
        given = {'open_views': 0, **given}  # no room is taken for what is not asked for
    longest_s = max(each.seconds for each in questions)
    if plan.view == 'span':
        frames = math.ceil(plan.rate * min(plan.span_s or longest_s, longest_s)) + 1
        given = {'view_ring_bytes': min(frames * FRAME_BYTES, MOST_RING_BYTES), **given}
    settings = StreamSettings(**{'max_pixels': MAX_PIXELS, **given, 'sample_rate': plan.rate})
    sized = ('capacity', 'memory_seconds', 'memory_tokens', 'memory_bytes')
    if settings.max_pixels and not any(name in given for name in sized):
        patches = math.ceil(plan.rate * longest_s / 2) + 2
        tokens = patches * -(-settings.max_pixels // TOKEN_PIXELS) + QUESTION_TOKENS
        capacity = math.ceil(tokens * settings.slack / (settings.slack - 1))
        settings = dataclasses.replace(settings, capacity=capacity)
    return settings


def _about(
    plan: Plan, settings: StreamSettings, annotated: Sequence[Question], prompts: str
) -> dict[str, Any]:
    """Return what has to be the same when a run is gone on with."""
    usual = dataclasses.asdict(StreamSettings())
    return {
        'benchmark': plan.benchmark,
        'annotations': digest(repr([(each.key, each.video, each.truth) for each in annotated])),
        'prompts': prompts,
        'context_s': plan.context_s,
        'model': plan.model,
        'quantization': plan.quantization,
        'view': plan.view,
        'span_s': plan.span_s if plan.view == 'span' else 0.0,
        'rate': plan.rate,
        'max_new_tokens': plan.max_new_tokens,
        'settings': {
            name: value
            for name, value in dataclasses.asdict(settings).items()
            if value != usual[name]
        },
    }
