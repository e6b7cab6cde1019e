# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which frames are taken: by stamp or by arrival, at a rate that may change."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from support.models.random_models import processor, random_clip, random_model
from support.serving.queue import drain, intake, outcomes, PATIENCE, SECOND

from streamvlm_ros.engine import (
    ErrorCode,
    StreamError,
    StreamSettings,
    StreamWorker,
    VideoStreamingInference,
)


def test_the_sample_rate_can_be_changed_while_frames_come() -> None:
    """What comes from then on is sampled at the new rate, by its stamps."""
    made, counters = intake(100, sample_rate=2.0)
    image = np.zeros((56, 56, 3), np.uint8)

    def second(first: float) -> int:
        before = made.waiting
        for i in range(10):
            made.put(image, round((first + i / 10) * SECOND), '')
        return made.waiting - before

    assert second(1) == 2
    made.set_sample_rate(5.0)
    assert second(2) == 5
    made.set_sample_rate(0.0)
    assert second(3) == 10
    made.set_sample_rate(2.0)
    made.begin()
    assert second(4) == 2
    made.set_sample_rate(2.0)  # nothing new: the grid stays
    made.put(image, round(4.92 * SECOND), '')
    assert made.waiting == 2
    assert counters.sampled_out == 8 + 5 + 8 + 1


@pytest.mark.parametrize(
    'rate, source',
    [(-1.0, 'stamp'), (float('inf'), 'stamp'), (float('nan'), 'stamp'), (0.0, 'uniform')],
)
def test_a_sample_rate_that_cannot_be_is_refused(rate: Any, source: str) -> None:
    engine = VideoStreamingInference(
        random_model('grouped'), processor(), settings=StreamSettings(time_source=source)
    )
    worker = StreamWorker(engine)
    for refusing in (worker, engine):
        with pytest.raises(StreamError, match='sample_rate') as caught:
            refusing.set_sample_rate(rate)
        assert caught.value.code is ErrorCode.INVALID_REQUEST


def test_uniform_time_goes_on_at_the_new_rate() -> None:
    """No jump, no step back: 0, 1/2, 1, then steps of a fifth."""
    engine = VideoStreamingInference(
        random_model('grouped'),
        processor(),
        settings=StreamSettings(time_source='uniform', sample_rate=2.0, chunk_frames=8),
    )
    frames = random_clip(1, 6, 56, 56)
    for frame in frames[:3]:
        engine.append_frame(frame, 0)
    engine.set_sample_rate(5.0)
    for frame in frames[3:]:
        engine.append_frame(frame, 0)
    times = [frame.time_ns * 10 // SECOND for frame in engine.stream.pending]
    assert times == [0, 5, 10, 15, 17, 19]
    engine.reset()
    engine.append_frame(frames[0], 0)
    engine.append_frame(frames[0], 0)
    assert [frame.time_ns * 10 // SECOND for frame in engine.stream.pending] == [0, 2]


@pytest.mark.parametrize(
    'settings', [{}, {'time_source': 'uniform'}, {'time_source': 'uniform', 'every_frame': True}]
)
def test_left_out_before_it_is_decoded_is_as_put(settings: dict[str, Any]) -> None:
    """Whoever asks first decodes no frame in vain, and changes nothing."""
    asking, asked_counters = intake(64, sample_rate=3.0, **settings)
    putting, counters = intake(64, sample_rate=3.0, **settings)
    rng = np.random.default_rng(2)
    # Forth with jitter, back as a looped bag, two of them swapped, without a stamp, far ahead.
    times = [*np.cumsum(rng.uniform(0.0, 0.3, 60)), *np.cumsum(rng.uniform(0.0, 0.3, 60))]
    stamps = [SECOND + int(t * SECOND) for t in times]
    for i in (3, 40, 77):
        stamps[i], stamps[i + 1] = stamps[i + 1], stamps[i]
    for i in (10, 50, 51, 90):
        stamps[i] += 10**13
    stamps[5] = stamps[99] = 0
    stamps[20] = stamps[70] = -SECOND
    image = np.zeros((56, 56, 3), np.uint8)
    arrived = 0
    for i, stamp in enumerate(stamps):
        arrived += int(rng.uniform(0.0, 0.3) * SECOND)
        putting.put(image, stamp, '', arrived)
        if not asking.leave_out(stamp, arrived):
            asking.put(image, stamp, '', arrived)
        assert asking.newest_stamp == putting.newest_stamp
        assert asking.waiting == putting.waiting
        assert outcomes(asked_counters) == outcomes(counters)
        assert counters.received == i + 1
    assert drain(asking) == drain(putting)
    if not settings:
        # The third bogus stamp confirms the second; what comes then is a jump back.
        assert (counters.stamp_jumps, counters.late, counters.failed) == (2, 3, 6)
    else:
        assert (counters.stamp_jumps, counters.late, counters.failed) == (0, 0, 0)
    assert (counters.sampled_out > 30) == (not settings.get('every_frame'))


def test_uniform_time_samples_by_arrival_whatever_the_stamps() -> None:
    """2 Hz of a camera at 10 Hz for 4 s, none in a pause, and all after it that are due."""
    image = np.zeros((56, 56, 3), np.uint8)
    arrivals = [i * SECOND // 10 for i in range(40)]
    arrivals += [20 * SECOND + i * SECOND // 10 for i in range(20)]
    for stamps in (
        [0] * 60,
        [10**12] * 60,
        [10**12 - i * 10**9 for i in range(60)],
        [-1] * 60,
        [i * 33_000_000 for i in range(60)],
        [random.Random(1).randrange(-(2**63), 2**63) for _ in range(60)],
    ):
        made, counters = intake(99, time_source='uniform', sample_rate=2.0)
        every, all_counters = intake(99, time_source='uniform', every_frame=True, sample_rate=2.0)
        for arrival, stamp in zip(arrivals, stamps):
            made.put(image, stamp, '', arrival)
            every.put(image, stamp, '', arrival)
            assert made.newest_stamp == min(max(stamp, 0), 2**31 * SECOND - 1)
        assert (made.waiting, counters.sampled_out, every.waiting) == (12, 48, 60)
        assert outcomes(counters)[2:] == outcomes(all_counters)[2:] == (0, 0, 0, 0, 0)
        assert [frame.series for frame in every.oldest(99)] == [0] * 60


@pytest.mark.parametrize(
    'stamps',
    [
        [0] * 20,
        [10**12] * 20,
        [10**12 - i * 33_000_000 for i in range(20)],
        [10**12 + i * 33_000_000 for i in range(20)],
    ],
)
def test_uniform_time_takes_every_frame_where_that_is_set(stamps: Any) -> None:
    """A driver without stamps, one whose stamp never changes, one that counts backwards."""
    worker = StreamWorker(
        VideoStreamingInference(
            random_model('grouped'),
            processor(),
            settings=StreamSettings(time_source='uniform', every_frame=True),
        )
    )
    frames = random_clip(1, 20, 56, 56)
    for frame, stamp in zip(frames, stamps):
        assert not worker.leave_out(stamp)
        worker.submit_frame(frame, stamp)
    worker.start()
    # Frames go first; a question comes behind a few of them at the latest, `after` is met by all.
    worker.ask('What?', max_new_tokens=1, after_ns=stamps[-1], timeout=PATIENCE).result(PATIENCE)
    while worker.status().frames_waiting:
        worker.ask('What?', max_new_tokens=1, timeout=PATIENCE).result(PATIENCE)
    status = worker.status()
    assert (status.frames_ingested, status.epoch, status.stamp_ns) == (20, 0, stamps[-1])
    assert worker.call(lambda engine: engine.get_cache_info().frames).result(PATIENCE) == 20
    worker.stop()
