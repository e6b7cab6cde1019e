# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every frame that arrives is counted once, whatever becomes of it."""

from __future__ import annotations

import random

import numpy as np
import pytest
from support.models.random_models import processor, random_clip, random_model
from support.serving.queue import PATIENCE, SECOND
from support.workers import balanced

from streamvlm_ros.engine import (
    ErrorCode,
    StreamError,
    StreamSettings,
    StreamWorker,
    VideoStreamingInference,
)


def test_every_frame_is_counted_once() -> None:
    """Whatever becomes of a frame: received is the sum."""
    worker = StreamWorker(
        VideoStreamingInference(
            random_model('grouped'),
            processor(),
            settings=StreamSettings(sample_rate=1.0, capacity=200),
        ),
        queue_frames=6,
    )
    frames = random_clip(1, 40, 56, 56)

    for i, frame in enumerate(frames[:20]):  # not started: all but the newest are dropped
        worker.submit_frame(frame, SECOND + i * SECOND // 2)
        worker.submit_frame(frame, 0)
        assert balanced(worker.status())
    status = worker.status()
    assert (status.frames_received, status.frames_failed) == (40, 20)
    assert (status.frames_sampled_out, status.frames_dropped, status.frames_waiting) == (10, 4, 6)
    worker.start()
    for i, frame in enumerate(frames[20:], start=20):
        worker.submit_frame(frame, SECOND + i * SECOND)
        assert balanced(worker.status())
    worker.ask('What?', max_new_tokens=1, after_ns=40 * SECOND).result(PATIENCE)
    status = worker.status()
    assert balanced(status) and status.frames_received == 60 and status.frames_waiting == 0
    worker.reset().result(PATIENCE)
    assert balanced(worker.status()) and worker.status().frames_received == 60
    worker.stop()


@pytest.mark.parametrize('seed', range(30))
def test_the_counters_add_up_whatever_happens(seed: int) -> None:
    """One arrival, one outcome: at every step, by every path, in whatever order."""
    rng = random.Random(seed)
    uniform = seed % 3 == 2
    engine = VideoStreamingInference(
        random_model('grouped'),
        processor(),
        settings=StreamSettings(
            sample_rate=rng.choice([0.5, 2.0, 30.0]),
            time_source='uniform' if uniform else 'stamp',
            every_frame=rng.random() < 0.5,
            capacity=rng.choice([40, 400]),
            max_gap=5.0,
            late_tolerance=0.3,
        ),
    )
    # Not started: what its thread does is done here, step by step.
    worker = StreamWorker(
        engine, queue_frames=rng.choice([1, 3, 8]), queue_bytes=rng.choice([1, 40_000, 1 << 20])
    )
    stream = worker._session
    clip = [*random_clip(1, 3, 56, 56), random_clip(2, 1, 56, 84)[0], np.zeros(3)]
    stamp, received = 100 * SECOND, 0
    for _ in range(120):
        stamp = max(1, stamp + round(rng.choice([0.03, 0.5, 0.5, 0.0, -0.1, -2, 20]) * SECOND))
        given = rng.choice([stamp, stamp, stamp, stamp, 0, -5, 2**70])
        what = rng.random()
        if what < 0.35:
            worker.submit_frame(rng.choice(clip), given, rng.choice(['', 'eye', 'x' * 999]))
            received += 1
        elif what < 0.6:
            if not worker.leave_out(given):
                if rng.random() < 0.2:
                    worker.count_failed()
                else:
                    worker.submit_frame(rng.choice(clip), given)
            received += 1
        elif what < 0.65:
            worker.count_dropped('Too fast.')
            received += 1
        elif what < 0.7:
            worker.set_paused(rng.random() < 0.4)
        elif what < 0.75:
            worker.set_sample_rate(rng.choice([0.5, 2.0, 30.0]))
        elif what < 0.8:
            worker.set_stale_after(rng.choice([0.0, 1e-9, 1e9]))
            stream.look_around()
        elif what < 0.83:
            worker.reset()
            stream.run_calls()
        elif what < 0.86:
            taken = stream.frames.take()
            if taken is not None:
                balance(worker, received)
                stream.frames.taken(
                    taken, rng.choice([None, StreamError(ErrorCode.INTERNAL, 'It was not to be.')])
                )
        else:
            stream.take_frames()
        balance(worker, received)


def balance(worker: StreamWorker, received: int) -> None:
    status = worker.status()
    assert status.frames_received == received
    assert balanced(status)
