# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The worker: answers reported while they are written, goals in a row, pause, stale streams."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
from support.models.random_models import processor, random_clip, random_model

from streamvlm_ros.engine import (
    ErrorCode,
    StreamError,
    StreamSettings,
    StreamWorker,
    VideoStreamingInference,
)
from streamvlm_ros.engine.serving import request

SECOND = 10**9
PATIENCE = 60.0
FRAMES = random_clip(1, 8, 56, 84)


@pytest.fixture
def worker():
    """Return a running worker that takes every frame and has two."""
    engine = VideoStreamingInference(
        random_model('grouped'), processor(), settings=StreamSettings(sample_rate=0.0)
    )
    running = StreamWorker(engine)
    running.start()
    feed(running, 0, 2)
    running.ask('What?', max_new_tokens=1, after_ns=2 * SECOND).result(PATIENCE)
    settle(running)
    yield running
    assert running.stop()


def feed(worker: StreamWorker, start: Any, stop: Any) -> None:
    """Submit frames, one a second; the first of all has the stamp of second 1."""
    for i in range(start, stop):
        worker.submit_frame(FRAMES[i], (i + 1) * SECOND)


def settle(worker: StreamWorker) -> None:
    """Wait for the end of the turn in which the last answer was handed over."""
    worker.call(lambda engine: None).result(PATIENCE)


def error_of(future: Any) -> StreamError:
    error = future.exception(PATIENCE)
    assert isinstance(error, StreamError)
    return error


def test_every_token_is_told(worker: StreamWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, 'PROGRESS_PERIOD', 0.0)
    told = []
    answer = worker.ask('What?', max_new_tokens=12, on_progress=told.append).result(PATIENCE)
    assert answer.completion_tokens > 3
    # The last token comes with the answer itself.
    assert [each.completion_tokens for each in told] == [*range(1, answer.completion_tokens)]
    assert {each.finish_reason for each in told} == {''}
    assert (told[0].stamp_ns, told[0].frames) == (2 * SECOND, 2)
    # A character may come in parts.
    assert all(answer.text.startswith(each.text.rstrip('\ufffd')) for each in told)


def test_no_oftener_than_the_period(worker: StreamWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, 'PROGRESS_PERIOD', 1e9)
    told = []
    worker.ask('What?', max_new_tokens=12, on_progress=told.append).result(PATIENCE)
    assert [each.completion_tokens for each in told] == [1]


def test_a_listener_that_raises_ends_no_answer(worker: StreamWorker) -> None:
    def refuse(answer: Any) -> NoReturn:
        raise RuntimeError('no ears')

    other = worker.ask('What?', max_new_tokens=12)
    answer = worker.ask('What?', max_new_tokens=12, on_progress=refuse).result(PATIENCE)
    assert other.result(PATIENCE).text == answer.text
    assert worker.status().internal_faults and 'no ears' in worker.status().last_error
    assert worker.status().state != 'error' and not worker.status().memory_losses


@pytest.mark.parametrize('max_goals', [1, 2])
def test_only_so_many_goals_at_once(
    worker: StreamWorker, monkeypatch: pytest.MonkeyPatch, max_goals: int
) -> None:
    monkeypatch.setattr(request, 'PROGRESS_PERIOD', 0.0)
    worker.set_max_goals(max_goals)
    order = []
    # Both wait for a frame, so that both are there when the first is opened.
    goals = [
        worker.ask(
            'What?',
            max_new_tokens=12,
            after_ns=3 * SECOND,
            is_goal=True,
            on_progress=lambda _, name=name: order.append(name),
        )
        for name in 'ab'
    ]
    question = worker.ask(
        'What?', max_new_tokens=2, after_ns=3 * SECOND, on_progress=lambda _: order.append('q')
    )
    feed(worker, 2, 4)
    answers = [goal.result(PATIENCE) for goal in goals]
    assert answers[0].text == answers[1].text
    assert question.result(PATIENCE)
    written = ''.join(order)
    row = written.replace('q', '')
    assert ('ba' in row) == (max_goals == 2)
    # Who is no goal waits for none.
    assert written.index('q') < written.rindex('a')


def test_pause(worker: StreamWorker) -> None:
    before = worker.status()
    worker.set_paused(True)
    feed(worker, 2, 4)
    assert worker.leave_out(4 * SECOND)
    status = worker.status()
    assert (status.state, worker.paused) == ('paused', True)
    assert status.frames_sampled_out == before.frames_sampled_out + 3
    assert status.frames_received == before.frames_received + 3
    assert worker.ask('What?', max_new_tokens=2).result(PATIENCE).frames == 2
    late = worker.ask('What?', after_ns=3 * SECOND, timeout=0.05)
    assert error_of(late).code == ErrorCode.TIMEOUT
    worker.set_paused(False)
    feed(worker, 4, 6)
    answer = worker.ask('What?', max_new_tokens=2, after_ns=6 * SECOND).result(PATIENCE)
    settle(worker)
    assert (answer.frames, worker.status().state) == (4, 'streaming')


@pytest.mark.parametrize(
    'stale_after, state, code',
    [
        (1e-9, 'stale', ErrorCode.STALE_STREAM),
        (1e6, 'streaming', ErrorCode.TIMEOUT),
        (0.0, 'streaming', ErrorCode.TIMEOUT),
    ],
)
def test_stale(worker: StreamWorker, stale_after: float, state: str, code: Any) -> None:
    worker.set_stale_after(stale_after)
    assert worker.status().state == state
    assert worker.ask('What?', max_new_tokens=2).result(PATIENCE).stamp_ns == 2 * SECOND
    assert error_of(worker.ask('What?', after_ns=3 * SECOND, timeout=0.05)).code == code


def test_a_stream_that_was_there_before_its_camera_is_stale() -> None:
    """A loaded stream, and no frame has come since."""
    engine = VideoStreamingInference(random_model('grouped'), processor())
    for second, frame in enumerate(random_clip(1, 4, 56, 56)):
        engine.append_frame(frame, second)
    waiting = StreamWorker(engine)
    assert waiting.status().state == 'streaming'
    waiting.set_stale_after(1e-9)
    assert waiting.status().state == 'stale'


def test_an_empty_stream_is_not_stale(worker: StreamWorker) -> None:
    worker.set_stale_after(1e-9)
    worker.reset().result(PATIENCE)
    assert worker.status().state == 'waiting_for_images'
