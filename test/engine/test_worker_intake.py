# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The queue before the stream: whole temporal patches are dropped, every frame is counted."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from random_models import processor, random_clip, random_model

from streamvlm_ros.engine import (
    ErrorCode,
    StreamError,
    StreamSettings,
    StreamWorker,
    VideoStreamingInference,
)
from streamvlm_ros.engine.intake import append_next, FrameIntake
from streamvlm_ros.engine.worker_status import Counters

SECOND = 10**9
PATIENCE = 60.0
SIZES = {'.': (56, 56), 'o': (56, 84)}


def intake(queue_frames: int, **settings) -> tuple[FrameIntake, Counters]:
    """Return an intake that takes every frame, and its counters."""
    counters = Counters()
    made = FrameIntake(StreamSettings(**{'sample_rate': 0.0, **settings}), queue_frames, counters)
    return made, counters


def put(made: FrameIntake, sizes: str, first: int = 1) -> None:
    """Put frames of these sizes with the stamps ``first``, ``first + 1`` …"""
    for stamp, size in enumerate(sizes, start=first):
        made.put(np.zeros((*SIZES[size], 3), np.uint8), stamp, '')


def drain(made: FrameIntake) -> list[int]:
    """Return the stamps of what waits."""
    stamps = []
    while (frame := made.take()) is not None:
        made.taken(frame, None)
        stamps.append(frame.stamp_ns)
    return stamps


@pytest.mark.parametrize('queue, sizes, kept', [
    (4, '....', [1, 2, 3, 4]), (4, '.....', [3, 4, 5]), (4, '......', [3, 4, 5, 6]),
    (4, '.......', [5, 6, 7]), (3, '....', [3, 4]), (3, '.........', [7, 8, 9]),
    (4, '.oooo', [2, 3, 4, 5]),  # a frame of another size is no half of a pair
    (4, 'oo.oo', [3, 4, 5]), (4, '...oo', [3, 4, 5]),
    (2, '...', [3]), (1, '...', [3]),
])
def test_the_oldest_whole_patch_is_dropped(queue, sizes, kept):
    made, counters = intake(queue)
    put(made, sizes)
    assert drain(made) == kept
    assert counters.dropped == len(sizes) - len(kept)
    assert counters.ingested == len(kept)


@pytest.mark.parametrize('taken, sizes, kept', [
    (1, '.....', [2, 5, 6]),  # 2 completes a patch that 1 has begun in the stream: it stays
    (2, '.....', [5, 6, 7]), (3, '.....', [4, 7, 8]),
    (1, 'ooooo', [4, 5, 6]),  # nothing completes 1
])
def test_the_other_half_of_a_frame_in_the_stream_is_kept(taken, sizes, kept):
    made, counters = intake(4)
    put(made, '.' * taken)
    drain(made)
    made.pending_frames = taken
    put(made, sizes, first=taken + 1)
    assert drain(made) == kept
    assert counters.dropped == 2


@pytest.mark.parametrize('pending, kept', [(0, [3, 6, 7]), (1, [5, 6, 7])])
def test_a_frame_in_hand_counts_as_in_the_stream(pending, kept):
    """It comes between what is in the stream and what waits."""
    made, _ = intake(4)
    if pending:
        put(made, '.')
        drain(made)
        made.pending_frames = pending
    put(made, '.', first=2)
    frame = made.take()
    assert frame is not None and made.waiting == 1
    put(made, '.....', first=3)
    assert made.waiting == 4
    made.taken(frame, None)
    assert drain(made) == kept


@pytest.mark.parametrize('held, taken, puts, kept', [
    (0, 0, 2, [3, 4, 5, 6]), (2, 0, 2, [1, 2, 5, 6]), (2, 1, 3, [2, 5, 6, 7]),
    (2, 2, 4, [5, 6, 7, 8]),
    (4, 0, 1, [2, 3, 4, 5]),  # nothing but what is held: the oldest goes as ever
])
def test_what_is_held_is_not_dropped(held, taken, puts, kept):
    made, _ = intake(4)
    put(made, '....')
    made.hold(made.oldest(held))
    for _ in range(taken):
        made.taken(made.take(), None)
    put(made, '.' * puts, first=5)
    assert drain(made) == kept


def test_what_is_gone_is_not_held():
    """Neither frames that were dropped meanwhile, nor those of a stream that was reset."""
    made, _ = intake(4)
    put(made, '....')
    gone = made.oldest(2)
    put(made, '.', first=5)
    made.hold(gone)
    put(made, '..', first=6)
    assert [frame.stamp_ns for frame in made.oldest(9)] == [5, 6, 7]
    made.hold(made.oldest(2))
    made.clear()
    put(made, '.....', first=8)
    assert drain(made) == [10, 11, 12]


def test_a_pair_does_not_span_an_epoch():
    """A stamp that goes back begins a new stream: the frame before it stays alone."""
    made, counters = intake(4)
    put(made, '.', first=9)
    put(made, '....', first=1)
    assert counters.dropped == 1
    assert drain(made) == [1, 2, 3, 4]


def test_every_frame_is_counted_once():
    """Whatever becomes of a frame: received is the sum."""
    worker = StreamWorker(
        VideoStreamingInference(random_model('grouped'), processor(),
                                settings=StreamSettings(sample_rate=1.0, capacity=200)),
        queue_frames=6)
    frames = random_clip(1, 40, 56, 56)

    def balanced() -> bool:
        status = worker.status()
        return status.frames_received == (
            status.frames_sampled_out + status.frames_ingested + status.frames_dropped
            + status.frames_failed + status.frames_waiting)

    for i, frame in enumerate(frames[:20]):  # not started: all but the newest are dropped
        worker.submit_frame(frame, SECOND + i * SECOND // 2)
        worker.submit_frame(frame, 0)
        assert balanced()
    status = worker.status()
    assert (status.frames_received, status.frames_failed) == (40, 20)
    assert (status.frames_sampled_out, status.frames_dropped, status.frames_waiting) == (10, 4, 6)
    worker.start()
    for i, frame in enumerate(frames[20:], start=20):
        worker.submit_frame(frame, SECOND + i * SECOND)
        assert balanced()
    worker.ask('What?', max_new_tokens=1, after_ns=40 * SECOND).result(PATIENCE)
    status = worker.status()
    assert balanced() and status.frames_received == 60 and status.frames_waiting == 0
    worker.reset().result(PATIENCE)
    assert balanced() and worker.status().frames_received == 60
    worker.stop()


def test_the_sample_rate_can_be_changed_while_frames_come():
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
    made.clear()
    assert second(4) == 2
    assert counters.sampled_out == 8 + 5 + 8


@pytest.mark.parametrize('rate, source', [
    (-1.0, 'stamp'), (float('inf'), 'stamp'), (float('nan'), 'stamp'), (0.0, 'uniform')])
def test_a_sample_rate_that_cannot_be_is_refused(rate, source):
    engine = VideoStreamingInference(random_model('grouped'), processor(),
                                     settings=StreamSettings(time_source=source))
    worker = StreamWorker(engine)
    for refusing in (worker, engine):
        with pytest.raises(StreamError, match='sample_rate') as caught:
            refusing.set_sample_rate(rate)
        assert caught.value.code is ErrorCode.INVALID_REQUEST


def test_uniform_time_goes_on_at_the_new_rate():
    """No jump, no step back: 0, 1/2, 1, then steps of a fifth."""
    engine = VideoStreamingInference(random_model('grouped'), processor(), settings=StreamSettings(
        time_source='uniform', sample_rate=2.0, chunk_frames=8))
    frames = random_clip(1, 6, 56, 56)
    for frame in frames[:3]:
        engine.append_frame(frame, 0)
    engine.set_sample_rate(5.0)
    for frame in frames[3:]:
        engine.append_frame(frame, 0)
    times = [frame.time_ns * 10 // SECOND for frame in engine._stream.pending]
    assert times == [0, 5, 10, 15, 17, 19]
    engine.reset()
    engine.append_frame(frames[0], 0)
    engine.append_frame(frames[0], 0)
    assert [frame.time_ns * 10 // SECOND for frame in engine._stream.pending] == [0, 2]


def test_what_the_engine_refuses_is_dropped_and_said():
    """The next frame is taken again."""
    engine = VideoStreamingInference(random_model('grouped'), processor(),
                                     settings=StreamSettings(sample_rate=0.0, capacity=40))
    made, counters = intake(8)
    for i, frame in enumerate((*random_clip(1, 3, 84, 84), *random_clip(1, 2, 56, 56))):
        made.put(frame, i + 1, '')
        assert append_next(engine, made, contextlib.nullcontext())
    assert not append_next(engine, made, contextlib.nullcontext())
    assert counters.ingested + counters.dropped == 5
    assert counters.dropped > 0 and 'KV cache' in counters.last_error
    assert engine.get_cache_info().frames == counters.ingested


@pytest.mark.parametrize('time_source', ['stamp', 'uniform'])
def test_left_out_before_it_is_decoded_is_as_sampled_out(time_source):
    """Whoever asks first decodes no frame in vain, and changes nothing."""
    asking, asked_counters = intake(64, sample_rate=3.0, time_source=time_source)
    putting, counters = intake(64, sample_rate=3.0, time_source=time_source)
    rng = np.random.default_rng(2)
    # Forth with jitter, back as a looped bag, and some without a stamp.
    times = [*np.cumsum(rng.uniform(0.0, 0.3, 60)), *np.cumsum(rng.uniform(0.0, 0.3, 60))]
    stamps = [0 if i % 17 == 5 else SECOND + int(t * SECOND) for i, t in enumerate(times)]
    image = np.zeros((56, 56, 3), np.uint8)
    left_out = 0
    for stamp in stamps:
        putting.put(image, stamp, '')
        if asking.leave_out(stamp):
            left_out += 1
        else:
            asking.put(image, stamp, '')
        assert asking.newest_stamp == putting.newest_stamp
    assert drain(asking) == drain(putting)
    assert left_out == counters.sampled_out == asked_counters.sampled_out > 30
    assert asked_counters.failed == counters.failed
