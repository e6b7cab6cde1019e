# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What stamps say: the rule by itself, and the engine that follows it without a queue."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
from support.models.random_models import processor, random_clip, random_model

from streamvlm_ros.engine import ErrorCode, StreamError, StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.stream.stamps import StampRule, to_nanoseconds, Verdict

SECOND = 10**9
MILLISECOND = 10**6
NEWEST = 1000 * SECOND
HOUR = 3600 * SECOND
FRAMES = random_clip(1, 12, 56, 56)


def stream(**settings: Any) -> VideoStreamingInference:
    return VideoStreamingInference(
        random_model('grouped'), processor(), settings=StreamSettings(**settings)
    )


def streamed(seconds: float = 3.0, **settings: Any) -> VideoStreamingInference:
    """Return a stream with frames from 1000 s on, half a second apart."""
    engine = stream(**settings)
    for i in range(int(2 * seconds)):
        engine.append_frame(FRAMES[i], NEWEST + i * SECOND // 2)
    return engine


@pytest.mark.parametrize(
    'stamp, verdict',
    [
        (NEWEST, Verdict.GOES_ON),
        (NEWEST + 1, Verdict.GOES_ON),
        (NEWEST + HOUR, Verdict.GOES_ON),
        (NEWEST + HOUR + 1, Verdict.AHEAD),
        (2**31 * SECOND - 1, Verdict.AHEAD),
        (NEWEST - 1, Verdict.LATE),
        (NEWEST - SECOND, Verdict.LATE),
        (NEWEST - SECOND - 1, Verdict.BACK),
        (1, Verdict.BACK),
    ],
)
def test_the_rule(stamp: Any, verdict: Any) -> None:
    rule = StampRule.of(StreamSettings(), 2.0)
    assert rule.judge(stamp, NEWEST) is verdict
    assert rule.judge(stamp, None) is Verdict.GOES_ON


@pytest.mark.parametrize(
    'after, verdict',
    [
        (0, Verdict.CONFIRMS),
        (HOUR, Verdict.CONFIRMS),
        (-SECOND, Verdict.CONFIRMS),
        (HOUR + 1, Verdict.AHEAD),
        (-SECOND - 1, Verdict.AHEAD),
        (-9 * HOUR, Verdict.GOES_ON),
        (-10 * HOUR, Verdict.LATE),
        (-11 * HOUR, Verdict.BACK),
    ],
)
def test_what_a_second_stamp_says_of_one_that_was_ahead(after: Any, verdict: Any) -> None:
    rule = StampRule.of(StreamSettings(), 2.0)
    doubtful = NEWEST + 10 * HOUR - SECOND
    assert rule.judge(doubtful + after, NEWEST, doubtful) is verdict


def test_a_gap_of_ten_sample_periods_is_none() -> None:
    """A camera that is sampled once in 1000 s is not asked about each frame."""
    slow = StampRule.of(StreamSettings(), 0.001)
    assert slow.judge(NEWEST + 10_000 * SECOND, NEWEST) is Verdict.GOES_ON
    assert slow.judge(NEWEST + 10_001 * SECOND, NEWEST) is Verdict.AHEAD
    short = StampRule.of(StreamSettings(max_gap=0.1), 2.0)
    assert short.judge(NEWEST + 5 * SECOND, NEWEST) is Verdict.GOES_ON
    assert short.judge(NEWEST + 5 * SECOND + 1, NEWEST) is Verdict.AHEAD
    assert StampRule.of(StreamSettings(max_gap=0.1), 0.0).gap_ns == SECOND // 10


def test_a_late_frame_is_left_out_and_nothing_else() -> None:
    """The stream is, to the last position and answer, the one that never saw it."""
    engine, twin = streamed(), streamed()
    newest = engine.newest_stamp_ns
    for late in (1, MILLISECOND, SECOND):
        engine.append_frame(FRAMES[9], newest - late)
    info = engine.get_cache_info()
    assert (info.late_frames, info.epoch, info.frames, info.stamp_ns) == (3, 0, 6, newest)
    for each in (engine, twin):
        each.append_frame(FRAMES[7], newest + SECOND)
    assert engine.ask('What?', 6)[0] == twin.ask('What?', 6)[0]
    engine.reset()
    assert engine.get_cache_info().late_frames == 3


def test_a_tolerance_of_none() -> None:
    engine = streamed(late_tolerance=0.0)
    engine.append_frame(FRAMES[9], engine.newest_stamp_ns - 1)
    assert (engine.epoch, engine.get_cache_info().frames) == (1, 1)


def test_a_frame_that_is_too_far_ahead_costs_nothing() -> None:
    """It is refused with how far; the camera goes on, and is not asked about it again."""
    engine, twin = streamed(), streamed()
    newest = engine.newest_stamp_ns
    with pytest.raises(StreamError, match=r'7200 s after the newest .* max_gap .*3600') as caught:
        engine.append_frame(FRAMES[9], newest + 2 * HOUR)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    for each in (engine, twin):
        each.append_frame(FRAMES[7], newest + SECOND)
    info = engine.get_cache_info()
    assert (info.epoch, info.frames, info.late_frames) == (0, 7, 0)
    assert engine.ask('What?', 6)[0] == twin.ask('What?', 6)[0]
    # What contradicted it has taken its weight: a third one near it confirms nothing.
    with pytest.raises(StreamError, match='max_gap'):
        engine.append_frame(FRAMES[9], newest + 2 * HOUR + SECOND)


@pytest.mark.parametrize('second', [0, SECOND, -SECOND, HOUR])
def test_a_second_frame_confirms_the_gap(second: Any) -> None:
    engine = streamed()
    newest = engine.newest_stamp_ns
    with pytest.raises(StreamError):
        engine.append_frame(FRAMES[8], newest + 2 * HOUR)
    engine.append_frame(FRAMES[9], newest + 2 * HOUR + second)
    info = engine.get_cache_info()
    assert (info.epoch, info.frames, info.stamp_ns) == (0, 7, newest + 2 * HOUR + second)


def test_a_reset_forgets_what_was_ahead() -> None:
    engine = streamed()
    ahead = engine.newest_stamp_ns + 2 * HOUR
    with pytest.raises(StreamError):
        engine.append_frame(FRAMES[8], ahead)
    engine.reset()
    engine.append_frame(FRAMES[8], 5 * SECOND)
    with pytest.raises(StreamError):
        engine.append_frame(FRAMES[9], ahead)


def test_after_a_load_stamps_are_judged_by_the_loaded_newest(tmp_path: pathlib.Path) -> None:
    saved = streamed()
    saved.save(tmp_path / 'saved')
    engine = stream()
    engine.append_frame(FRAMES[0], 9 * SECOND)
    engine.load(tmp_path / 'saved')
    newest, epoch = engine.newest_stamp_ns, engine.epoch
    assert newest == saved.newest_stamp_ns
    engine.append_frame(FRAMES[7], newest - SECOND // 2)
    engine.append_frame(FRAMES[7], newest + SECOND // 2)
    info = engine.get_cache_info()
    assert (info.epoch, info.frames, info.late_frames) == (epoch, 7, 1)
    engine.append_frame(FRAMES[8], newest - SECOND)
    assert (engine.epoch, engine.get_cache_info().frames) == (epoch + 1, 1)


def test_a_chunk_follows_the_same_rule() -> None:
    """Late ones are left out, a gap that its next frame confirms is one, a jump begins again."""
    engine = streamed()
    newest = engine.newest_stamp_ns
    engine.append_video_chunk(
        FRAMES[:4],
        stamps=[newest - 1, newest + 2 * HOUR, newest + 2 * HOUR + SECOND, newest + 2 * HOUR],
    )
    info = engine.get_cache_info()
    assert (info.frames, info.late_frames, info.epoch) == (8, 2, 0)
    engine.append_video_chunk(FRAMES[:2], stamps=[7 * SECOND, 8 * SECOND])
    assert (engine.epoch, engine.get_cache_info().frames) == (1, 2)


@pytest.mark.parametrize(
    'stamps',
    [
        [NEWEST + 10 * SECOND, NEWEST + 9 * HOUR],
        [NEWEST + 9 * HOUR, NEWEST + 10 * SECOND],
        [NEWEST + 10 * SECOND, float('nan')],
        [NEWEST + 10 * SECOND, 2**70],
    ],
)
def test_of_a_chunk_all_frames_are_taken_or_none(stamps: list[Any]) -> None:
    engine = streamed()
    before = engine.get_cache_info()
    with pytest.raises(StreamError):
        engine.append_video_chunk(FRAMES[:2], stamps=stamps)
    assert engine.get_cache_info() == before


def test_made_up_stamps_are_never_too_far_ahead() -> None:
    engine = stream(max_gap=0.1, sample_rate=0.0)
    engine.append_video_chunk(FRAMES[:4], fps=0.5)
    engine.append_video_chunk(FRAMES[:4], fps=0.001)
    assert engine.newest_stamp_ns == (6 + 4 * 1000) * SECOND
    assert engine.get_cache_info().frames == 8


@pytest.mark.parametrize('fps', [5e-324, 1e-300, 0.0009, float('inf'), float('nan'), -1.0])
def test_a_rate_that_stamps_cannot_be_made_of(fps: Any) -> None:
    engine = stream()
    with pytest.raises(StreamError, match='fps above 0'):
        engine.append_video_chunk(FRAMES[:2], fps=fps)
    assert engine.get_cache_info().frames == 0


NO_TIMES = [
    float('nan'),
    float('inf'),
    float('-inf'),
    1e300,
    -1e300,
    2**70,
    -1,
    -(2**70),
    -0.5,
    10**5000,
    2**31 * SECOND,
    2.0**31,
    np.int64(-1),
    np.float32('nan'),
    np.float64(1e18),
    True,
    False,
    np.bool_(True),
    '5',
    1j,
    b'1',
    [1],
    np.array([1, 2]),
]


@pytest.mark.parametrize(
    'stamp', NO_TIMES, ids=lambda x: repr(x)[:20] if not isinstance(x, int) else hex(x)[:20]
)
def test_what_is_no_stamp_is_refused(stamp: Any) -> None:
    """With a sentence of some words, whatever its size; and nothing was taken."""
    engine = streamed()
    before = engine.get_cache_info()
    with pytest.raises(StreamError, match='not a time') as caught:
        engine.append_frame(FRAMES[9], stamp)
    assert caught.value.code is ErrorCode.INVALID_REQUEST and len(str(caught.value)) < 200
    assert engine.get_cache_info() == before


@pytest.mark.parametrize(
    'stamp, time_ns',
    [
        (0, 0),
        (0.0, 0),
        (-0.0, 0),
        (1.5, 1_500_000_000),
        (np.float32(1.5), 1_500_000_000),
        (np.int32(7), 7),
        (np.uint64(2**40), 2**40),
        (2**31 * SECOND - 1, 2**31 * SECOND - 1),
        (5e-324, 0),
    ],
)
def test_what_is_a_stamp_is_taken_as_it_is(stamp: Any, time_ns: Any) -> None:
    assert to_nanoseconds(stamp) == time_ns
    engine = stream()
    engine.append_frame(FRAMES[0], stamp)
    assert engine.newest_stamp_ns == time_ns


@pytest.mark.parametrize(
    'stamps',
    [
        [0] * 6,
        [5 * SECOND] * 6,
        [10 * SECOND - i * SECOND for i in range(6)],
        [-1] * 6,
        [2**70] * 6,
        [1, 9 * HOUR, 3, 10**18, 0, -5],
        [i * SECOND for i in range(6)],
    ],
)
def test_uniform_time_uses_stamps_for_nothing_but_answers(stamps: Any) -> None:
    """No epoch, nothing late, nothing ahead; the same answer, with the newest one's stamp."""
    engine, even = (stream(time_source='uniform', sample_rate=2.0) for _ in range(2))
    for i, stamp in enumerate(stamps):
        engine.append_frame(FRAMES[i], stamp)
        even.append_frame(FRAMES[i], i * 0.5)
    info = engine.get_cache_info()
    assert (info.frames, info.epoch, info.late_frames) == (6, 0, 0)
    assert info.stamp_ns == min(max(stamps[-1], 0), 2**31 * SECOND - 1)
    assert engine.ask('What?', 6)[0] == even.ask('What?', 6)[0]


@pytest.mark.parametrize(
    'settings, sentence',
    [
        ({'late_tolerance': -0.1}, 'late_tolerance is -0.1'),
        ({'late_tolerance': float('nan')}, 'late_tolerance'),
        ({'late_tolerance': float('inf')}, 'late_tolerance'),
        ({'max_gap': 0.0}, 'max_gap is 0'),
        ({'max_gap': float('inf')}, 'max_gap'),
        ({'max_gap': float('nan')}, 'max_gap'),
        ({'max_frame_id': 0}, 'max_frame_id'),
        ({'max_image_pixels': 0}, 'max_image_pixels'),
    ],
)
def test_settings_that_no_rule_can_be_made_of(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(StreamError, match=sentence):
        StreamSettings(**settings)


def test_a_frame_that_is_too_large_or_has_a_bad_frame_id_is_refused() -> None:
    engine = stream(max_image_pixels=56 * 56, max_frame_id=5)
    engine.append_frame(FRAMES[0], 1.0, 'éye_0')
    before = engine.get_cache_info()
    for frame, frame_id, sentence in (
        (random_clip(1, 1, 56, 57)[0], '', 'at most 3136 are taken'),
        (FRAMES[1], 'x' * 6, 'has 6 characters; at most 5'),
        (FRAMES[1], 'f' * 2_000_000, 'has 2000000 characters; at most 5'),
        (FRAMES[1], '\ud800', 'surrogate'),
        (FRAMES[1], b'eye', 'must be a text'),
        (FRAMES[1], None, 'must be a text'),
    ):
        with pytest.raises(StreamError, match=sentence) as caught:
            engine.append_frame(frame, 2.0, frame_id)
        assert caught.value.code is ErrorCode.INVALID_REQUEST and len(str(caught.value)) < 200
    assert engine.get_cache_info() == before
