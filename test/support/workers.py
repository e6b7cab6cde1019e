# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Workers over random models, and what is done with them."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
from support.models.random_models import processor, random_clip, random_model

from streamvlm_ros.engine import (
    open_streams,
    StreamError,
    StreamSettings,
    StreamWorker,
    VideoStreamingInference,
)
from streamvlm_ros.engine.questions.questions import Questions

SECOND = 10**9
PATIENCE = 60.0


def workers(number: int, **settings: Any) -> list[StreamWorker]:
    """Return workers in one thread, which is not started."""
    each = StreamSettings(**{'sample_rate': 0.0, **settings})
    made: list[StreamWorker] = []
    for engine in open_streams(random_model('grouped'), processor(), [each] * number):
        made.append(StreamWorker(engine, beside=made[0] if made else None))
    return made


def clip(index: int, frames: int) -> list:
    return random_clip(10 + index, frames, 56, 84)


def feed(worker: StreamWorker, start: int, stop: int, index: int = 0) -> None:
    """Submit frames of a clip, one a second; the first of all has the stamp of second 1."""
    for i, frame in enumerate(clip(index, stop)[start:], start):
        worker.submit_frame(frame, (i + 1) * SECOND, f'eye_{index}')


def error_of(future: Any) -> StreamError:
    error = future.exception(PATIENCE)
    assert isinstance(error, StreamError)
    return error


def broken(*args: Any, **kwargs: Any) -> NoReturn:
    raise RuntimeError('out of reach')


NO_STOP = type(
    'NoStop', (), {'stop': (), 'text': staticmethod(lambda tokens: ''), 'turn_end': [0]}
)()


def never_stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let answers end by their length only."""
    original = Questions.advance

    def spy(self: Any, opened: Any) -> None:
        original(self, opened)
        opened._template, opened.finish_reason = NO_STOP, ''

    monkeypatch.setattr(Questions, 'advance', spy)


def engine(**settings: Any) -> VideoStreamingInference:
    """Return an engine for a worker."""
    return VideoStreamingInference(
        random_model('grouped'),
        processor(),
        settings=StreamSettings(**{'sample_rate': 0.0, **settings}),
    )


def balanced(status: Any) -> bool:
    """Tell whether every frame received is accounted for."""
    return status.frames_received == (
        status.frames_sampled_out
        + status.frames_ingested
        + status.frames_dropped
        + status.frames_failed
        + status.frames_late
        + status.frames_waiting
    )
