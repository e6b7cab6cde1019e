# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Sampling: so many frames a second, on one grid, whatever the times of the frames are like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamvlm_ros.engine import ErrorCode, StreamError, StreamSettings
from streamvlm_ros.engine.config import check_sample_rate
from streamvlm_ros.engine.stream.stamps import StampSampler

SECOND = 10**9
START = 1_700_000_000 * SECOND
MILLISECOND = 10**6


def taken(rate: float, times: list[int]) -> list[int]:
    sampler = StampSampler(rate)
    return [time for time in times if sampler.take(time)]


def jittered(rng: np.random.Generator, camera: float, frames: int, jitter_ms: float) -> list[int]:
    """Return times of a camera, each off by up to so much either way, in order of the frames."""
    off = rng.uniform(-jitter_ms, jitter_ms, frames) * MILLISECOND
    return [START + round(i * SECOND / camera) + int(j) for i, j in enumerate(off)]


@pytest.mark.parametrize(
    'camera, rate, seconds', [(30, 4, 10), (4, 4, 10), (10, 3, 9), (15, 0.5, 7), (30, 0, 3)]
)
def test_so_many_frames_a_second_are_taken(camera: int, rate: float, seconds: int) -> None:
    rng = np.random.default_rng(0)
    times = jittered(rng, camera, camera * seconds, 50 / camera)
    assert len(taken(rate, times)) == round((rate or camera) * seconds)


@pytest.mark.parametrize('camera', [10, 15, 30])
def test_15_ms_of_jitter_lose_nothing_of_a_camera_at_the_sample_rate(camera: int) -> None:
    """Wherever in its jitter the first frame is, by which the grid is laid."""
    for seed in range(200):
        rng = np.random.default_rng(seed)
        times = jittered(rng, camera, 300, 15)
        assert taken(camera, times) == times
    for first in (-15, 15):  # the worst there is
        times = [
            START + round(i * SECOND / camera) + first * (-1) ** i * MILLISECOND
            for i in range(2000)
        ]
        assert taken(camera, times) == times


@pytest.mark.parametrize(
    'camera, rate',
    [(30, 2), (30, 4), (30, 7.5), (60, 30), (30, 15), (30, 29), (25, 20), (30, 0.5), (90, 30)],
)
@pytest.mark.parametrize('jitter_ms', [0, 2, 15])
def test_the_number_taken_is_that_of_the_rate(camera: int, rate: float, jitter_ms: int) -> None:
    """Within one of the time that has passed, however long; more than one place none has."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        # Times out of order too, where the jitter is larger than half a period.
        times = jittered(rng, camera, camera * 100, jitter_ms)
        kept = taken(rate, times)
        assert abs(len(kept) - 1 - (kept[-1] - kept[0]) / SECOND * rate) <= 1.5
        assert abs(kept[-1] - times[-1]) <= SECOND / rate + 64 * MILLISECOND


def test_times_that_go_back_a_little_leave_the_grid() -> None:
    """The intervals of a camera whose driver swaps frames, in ms, over and over."""
    intervals = [
        33.4,
        33.4,
        33.4,
        33.3,
        33.4,
        133.7,
        -100.3,
        155.5,
        -122.2,
        33.4,
        100.0,
        33.4,
        66.7,
        33.7,
        -67.0,
        100.1,
        53.5,
        49.9,
        38.3,
        0.8,
        24.2,
        33.3,
    ]
    times = [START + round(ms * MILLISECOND) for ms in np.cumsum(intervals * 60)]
    kept = taken(2.0, times)
    assert len(kept) == pytest.approx(2 * (max(times) - times[0]) / SECOND, abs=1.5)
    assert np.diff(kept).min() > SECOND // 4


def test_after_a_gap_the_grid_goes_on() -> None:
    """Frames of before and behind it are on one grid, and none is made up for it."""
    before = [START + i * SECOND // 10 for i in range(20)]
    behind = [time + 100 * SECOND + 37 * MILLISECOND for time in before]
    kept = taken(2.0, before + behind)
    assert [(time - START) // MILLISECOND for time in kept] == [
        0,
        500,
        1000,
        1500,
        100_037,
        100_537,
        101_037,
        101_537,
    ]


def test_asking_first_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    times = jittered(rng, 30, 300, 20)
    sampler, other = StampSampler(4), StampSampler(4)
    for time in times:
        would = [sampler.would_take(time) for _ in range(2)]
        assert would == [other.take(time)] * 2 == [sampler.take(time)] * 2


REFUSED = [
    -1.0,
    -0.0005,
    5e-324,
    1e-310,
    1e-12,
    0.00099,
    float('nan'),
    float('inf'),
    float('-inf'),
]


@pytest.mark.parametrize('rate', REFUSED)
def test_a_rate_that_is_none_is_refused(rate: Any) -> None:
    with pytest.raises(StreamError, match=r'sample_rate is .* give 0 .* least 0\.001') as caught:
        check_sample_rate(rate, 'stamp')
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    with pytest.raises(StreamError, match='sample_rate'):
        StreamSettings(sample_rate=rate)


def test_rates_that_are_some() -> None:
    for rate in (0, 0.0, 0.001, 240.0, 1e9):
        check_sample_rate(rate, 'stamp')
    assert taken(0.001, [START + i * 100 * SECOND for i in range(21)]) == [
        START,
        START + 900 * SECOND,
        START + 1900 * SECOND,
    ]
    assert len(taken(1e12, [START] * 5)) == 5
    with pytest.raises(StreamError, match='every_frame'):
        check_sample_rate(0.0, 'uniform')
