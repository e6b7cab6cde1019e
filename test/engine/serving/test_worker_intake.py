# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The queue before the stream: whole temporal patches are dropped, every frame is counted."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest
from support.models.random_models import processor, random_clip, random_model

from streamvlm_ros.engine import (
    ErrorCode,
    StreamError,
    StreamSettings,
    StreamWorker,
    VideoStreamingInference,
)
from streamvlm_ros.engine.serving.frame_queue import FrameQueue
from streamvlm_ros.engine.serving.metrics import Counters
from streamvlm_ros.engine.serving.session import append_next

SECOND = 10**9
PATIENCE = 60.0
SIZES = {'.': (56, 56), 'o': (56, 84)}


def intake(queue_frames: int, **settings) -> tuple[FrameQueue, Counters]:
    """Return an intake that takes every frame, and its counters."""
    counters = Counters()
    made = FrameQueue(StreamSettings(**{'sample_rate': 0.0, **settings}), queue_frames, counters)
    return made, counters


def put(made: FrameQueue, sizes: str, first: int = 1) -> None:
    """Put frames of these sizes with the stamps ``first``, ``first + 1`` …"""
    for stamp, size in enumerate(sizes, start=first):
        made.put(np.zeros((*SIZES[size], 3), np.uint8), stamp, '')


def drain(made: FrameQueue) -> list[int]:
    """Return the stamps of what waits."""
    stamps = []
    while (frame := made.take()) is not None:
        made.taken(frame, None)
        stamps.append(frame.stamp_ns)
    return stamps


@pytest.mark.parametrize(
    'queue, sizes, kept',
    [
        (4, '....', [1, 2, 3, 4]),
        (4, '.....', [3, 4, 5]),
        (4, '......', [3, 4, 5, 6]),
        (4, '.......', [5, 6, 7]),
        (3, '....', [3, 4]),
        (3, '.........', [7, 8, 9]),
        (4, '.oooo', [2, 3, 4, 5]),  # a frame of another size is no half of a pair
        (4, 'oo.oo', [3, 4, 5]),
        (4, '...oo', [3, 4, 5]),
        (2, '...', [3]),
        (1, '...', [3]),
    ],
)
def test_the_oldest_whole_patch_is_dropped(queue, sizes, kept):
    made, counters = intake(queue)
    put(made, sizes)
    assert drain(made) == kept
    assert counters.dropped == len(sizes) - len(kept)
    assert counters.ingested == len(kept)


@pytest.mark.parametrize(
    'taken, sizes, kept',
    [
        (1, '.....', [2, 5, 6]),  # 2 completes a patch that 1 has begun in the stream: it stays
        (2, '.....', [5, 6, 7]),
        (3, '.....', [4, 7, 8]),
        (1, 'ooooo', [4, 5, 6]),  # nothing completes 1
    ],
)
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


@pytest.mark.parametrize(
    'held, taken, puts, kept',
    [
        (0, 0, 2, [3, 4, 5, 6]),
        (2, 0, 2, [1, 2, 5, 6]),
        (2, 1, 3, [2, 5, 6, 7]),
        (2, 2, 4, [5, 6, 7, 8]),
        (4, 0, 1, [2, 3, 4, 5]),  # nothing but what is held: the oldest goes as ever
    ],
)
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
    made.begin()
    put(made, '.....', first=8)
    assert drain(made) == [10, 11, 12]


def test_a_pair_does_not_span_an_epoch():
    """A stamp that goes back begins a new stream: the frame before it stays alone."""
    made, counters = intake(4)
    put(made, '.', first=9 * SECOND)
    put(made, '....', first=1)
    assert counters.dropped == 1
    assert drain(made) == [1, 2, 3, 4]


def test_every_frame_is_counted_once():
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

    def balanced() -> bool:
        status = worker.status()
        return status.frames_received == (
            status.frames_sampled_out
            + status.frames_ingested
            + status.frames_dropped
            + status.frames_failed
            + status.frames_late
            + status.frames_waiting
        )

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
def test_a_sample_rate_that_cannot_be_is_refused(rate, source):
    engine = VideoStreamingInference(
        random_model('grouped'), processor(), settings=StreamSettings(time_source=source)
    )
    worker = StreamWorker(engine)
    for refusing in (worker, engine):
        with pytest.raises(StreamError, match='sample_rate') as caught:
            refusing.set_sample_rate(rate)
        assert caught.value.code is ErrorCode.INVALID_REQUEST


def test_uniform_time_goes_on_at_the_new_rate():
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


def test_what_the_engine_refuses_is_dropped_and_said():
    """The next frame is taken again."""
    engine = VideoStreamingInference(
        random_model('grouped'), processor(), settings=StreamSettings(sample_rate=0.0, capacity=40)
    )
    made, counters = intake(8)
    for i, frame in enumerate((*random_clip(1, 3, 84, 84), *random_clip(1, 2, 56, 56))):
        made.put(frame, i + 1, '')
        assert append_next(engine, made)
    assert not append_next(engine, made)
    assert counters.ingested + counters.dropped == 5
    assert counters.dropped > 0 and 'KV cache' in counters.last_error
    assert engine.get_cache_info().frames == counters.ingested


@pytest.mark.parametrize(
    'settings', [{}, {'time_source': 'uniform'}, {'time_source': 'uniform', 'every_frame': True}]
)
def test_left_out_before_it_is_decoded_is_as_put(settings):
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


def outcomes(counters: Counters) -> tuple[int, ...]:
    """Return what has become of the frames that came."""
    return (
        counters.received,
        counters.sampled_out,
        counters.ingested,
        counters.dropped,
        counters.failed,
        counters.late,
        counters.stamp_jumps,
    )


HOUR = 3600 * SECOND


def stamped(made: FrameQueue, *stamps: int) -> None:
    for stamp in stamps:
        made.put(np.zeros((56, 56, 3), np.uint8), stamp, '')


def test_a_late_frame_is_left_out_and_counted():
    made, counters = intake(9)
    stamped(made, 10 * SECOND, 11 * SECOND, 11 * SECOND - 1, 10 * SECOND, 11 * SECOND)
    assert drain(made) == [10 * SECOND, 11 * SECOND, 11 * SECOND]
    assert (counters.late, counters.stamp_jumps, counters.last_error) == (2, 0, '')


def test_two_publishers_with_clocks_apart_cost_no_memory():
    """Every second frame is late; what the first one shows is all there."""
    made, counters = intake(99)
    for i in range(40):
        stamped(made, (100 + i) * SECOND // 30, (100 + i) * SECOND // 30 - SECOND // 20)
    assert drain(made) == [(100 + i) * SECOND // 30 for i in range(40)]
    assert (counters.late, counters.stamp_jumps) == (40, 0)


def test_a_jump_back_begins_a_series_and_says_so():
    """Sampling begins anew with it, and what is late is measured by it."""
    made, counters = intake(9, sample_rate=1.0)
    stamped(made, 20 * SECOND, 21 * SECOND, 21 * SECOND + SECOND // 2, 9_200_000_000)
    assert counters.stamp_jumps == 1
    assert (
        'Stamps went back 12.3 s: a restart, a bag loop, or two publishers?' in counters.last_error
    )
    stamped(made, 9_200_000_000 + SECOND, 9_200_000_000)
    assert [frame.series for frame in made.oldest(9)] == [0, 0, 1, 1]
    assert (counters.late, counters.sampled_out, made.newest_stamp) == (1, 1, 10_200_000_000)


def test_a_jump_back_empties_the_engine_in_its_turn():
    """Also where what is oldest in the new series was dropped meanwhile, and after sampling."""
    engine = VideoStreamingInference(
        random_model('grouped'), processor(), settings=StreamSettings(sample_rate=0.1)
    )
    made = FrameQueue(engine.settings, 2, Counters())
    frame = random_clip(1, 1, 56, 56)[0]

    def drained() -> tuple[int, int]:
        while append_next(engine, made):
            pass
        info = engine.get_cache_info()
        return info.epoch, info.frames

    for seconds in (100, 110, 118):  # 118 is sampled out: only the intake knows it
        made.put(frame, seconds * SECOND, '')
    assert drained() == (0, 2)
    # For the engine, whose newest is 110, this one goes on.
    made.put(frame, 116 * SECOND, '')
    assert drained() == (1, 1)
    for seconds in (126, 50, 60, 70):  # all but 70 are dropped
        made.put(frame, seconds * SECOND, '')
    assert drained() == (2, 1)
    assert made._counters.dropped == 3 and made._counters.stamp_jumps == 2


def test_a_reset_that_fails_leaves_no_frame_of_the_new_series_in_the_old_epoch(monkeypatch):
    engine = VideoStreamingInference(
        random_model('grouped'), processor(), settings=StreamSettings(sample_rate=0.0)
    )
    counters = Counters()
    made = FrameQueue(engine.settings, 9, counters)
    frame = random_clip(1, 1, 56, 56)[0]
    for stamp in (100 * SECOND, 5 * SECOND, 6 * SECOND):
        made.put(frame, stamp, '')
    assert append_next(engine, made)
    with monkeypatch.context() as patch:

        def broken():
            raise RuntimeError('out of reach')

        patch.setattr(engine, 'reset', broken)
        assert append_next(engine, made)
    assert (counters.dropped, engine.epoch) == (1, 0)
    assert append_next(engine, made)
    assert (engine.epoch, engine.newest_stamp_ns) == (1, 6 * SECOND)


def test_a_stamp_from_2038_costs_one_frame_and_nothing_else():
    made, counters = intake(9)
    stamped(made, 100 * SECOND, (2**31 - 2) * SECOND)
    assert made.waiting == 2 and len(made.oldest(9)) == 1
    stamped(made, 101 * SECOND)
    assert drain(made) == [100 * SECOND, 101 * SECOND]
    assert (counters.failed, counters.stamp_jumps, counters.late) == (1, 0, 0)
    assert 'stamped 2147483546 s after the newest' in counters.last_error
    assert 'max_gap allows (3600 s)' in counters.last_error
    # It takes two to confirm one, and they must be near each other.
    stamped(made, 9 * HOUR, 20 * HOUR, 102 * SECOND)
    assert drain(made) == [102 * SECOND]
    assert (counters.failed, counters.stamp_jumps, made.waiting) == (3, 0, 0)


@pytest.mark.parametrize('second, kept', [(0, 2), (SECOND, 2), (HOUR, 2), (-SECOND, 1)])
def test_a_second_frame_confirms_the_gap(second, kept):
    """Both are taken in their order; a second one that is late to the first is late."""
    made, counters = intake(9)
    stamped(made, 100 * SECOND, 9 * HOUR, 9 * HOUR + second)
    assert drain(made) == [100 * SECOND, 9 * HOUR, 9 * HOUR + second][: 1 + kept]
    assert (counters.failed, counters.stamp_jumps, counters.late) == (0, 0, 2 - kept)


def test_a_frame_that_is_held_back_is_let_in_when_nothing_else_comes():
    made, _ = intake(9)
    assert made.deadline(5.0) == float('inf')
    stamped(made, 100 * SECOND, 9 * HOUR)
    assert made.deadline(0.0) == float('inf')
    arrived = made.doubtful.arrived
    assert made.deadline(5.0) == arrived + 5.0
    made.release_overdue(1e6)
    assert len(made.oldest(9)) == 1
    made.release_overdue(0.0)  # never
    assert len(made.oldest(9)) == 1
    made.release_overdue(1e-9)
    assert drain(made) == [100 * SECOND, 9 * HOUR]
    assert made.newest_stamp == 9 * HOUR and made.deadline(5.0) == float('inf')


def test_the_thread_wakes_for_a_frame_that_is_held_back():
    """Nothing else happens: it is taken once the camera counts as stale."""
    changed = threading.Condition()

    def tell() -> None:
        with changed:
            changed.notify_all()

    worker = StreamWorker(
        VideoStreamingInference(
            random_model('grouped'), processor(), settings=StreamSettings(sample_rate=0.0)
        ),
        on_change=tell,
    )
    worker.start()
    frame = random_clip(1, 1, 56, 56)[0]
    worker.submit_frame(frame, 100 * SECOND)
    worker.submit_frame(frame, 9 * HOUR)
    answer = worker.ask('What?', max_new_tokens=1, after_ns=9 * HOUR, timeout=PATIENCE)
    assert worker.status().frames_waiting >= 1
    worker.set_stale_after(0.05)
    assert answer.result(PATIENCE).stamp_ns == 9 * HOUR
    status = worker.status()
    assert (status.frames_ingested, status.frames_waiting, status.epoch) == (2, 0, 0)
    worker.stop()


def test_a_reset_lets_any_stamp_begin_and_drops_what_is_held_back():
    made, counters = intake(9)
    stamped(made, 100 * SECOND, 9 * HOUR)
    made.begin()
    assert (made.waiting, counters.dropped, made.newest_stamp) == (0, 2, 0)
    stamped(made, 3 * SECOND)
    assert (drain(made), counters.stamp_jumps) == ([3 * SECOND], 0)


def test_after_a_load_stamps_are_judged_by_the_loaded_newest(tmp_path):
    """Also where the number of the epoch stays; frames that waited are of the stream before."""

    def made() -> StreamWorker:
        return StreamWorker(
            VideoStreamingInference(
                random_model('grouped'), processor(), settings=StreamSettings(sample_rate=0.0)
            )
        )

    frames = random_clip(1, 6, 56, 56)
    saved = made()
    saved.start()
    for i in range(4):
        saved.submit_frame(frames[i], (100 + i) * SECOND)
    saved.ask('What?', max_new_tokens=1, after_ns=103 * SECOND).result(PATIENCE)
    saved.call(lambda engine: engine.save(tmp_path / 'saved')).result(PATIENCE)
    saved.stop()
    worker = made()
    loading = worker.call(lambda engine: engine.load(tmp_path / 'saved'))
    worker.submit_frame(frames[4], 50 * SECOND)
    worker.start()
    loading.result(PATIENCE)
    status = worker.status()
    assert (status.epoch, status.frames_dropped, status.stamp_ns) == (0, 1, 103 * SECOND)
    worker.submit_frame(frames[4], 103 * SECOND - 1)
    worker.submit_frame(frames[4], 9 * HOUR)
    worker.submit_frame(frames[5], 104 * SECOND)
    answer = worker.ask('What?', max_new_tokens=1, after_ns=104 * SECOND).result(PATIENCE)
    status = worker.status()
    assert (answer.frames, status.epoch) == (5, 0)
    assert (status.frames_late, status.frames_failed, status.stamp_jumps) == (1, 1, 0)
    worker.submit_frame(frames[5], 102 * SECOND)
    worker.ask('What?', max_new_tokens=1, timeout=PATIENCE).result(PATIENCE)
    assert (worker.status().epoch, worker.status().stamp_jumps) == (1, 1)
    worker.stop()


@pytest.mark.parametrize(
    'stamp',
    [0, -1, -(2**70), 2**31 * SECOND, 2**70, float('nan'), float('inf'), 1e18, True, '1', None],
)
def test_what_is_no_stamp_fails_and_is_never_decoded(stamp):
    made, counters = intake(9)
    stamped(made, 100 * SECOND, stamp)
    assert made.leave_out(stamp)
    assert (counters.failed, counters.received, made.waiting) == (2, 3, 1)
    assert 'stamp' in counters.last_error and len(counters.last_error) < 200
    assert made.newest_stamp == 100 * SECOND


def test_uniform_time_samples_by_arrival_whatever_the_stamps():
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
def test_uniform_time_takes_every_frame_where_that_is_set(stamps):
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


def test_the_queue_is_bounded_in_bytes():
    """The oldest whole patches go; one frame may always wait, also one that is held back."""
    frame = 56 * 56 * 3
    counters = Counters()
    made = FrameQueue(StreamSettings(sample_rate=0.0), 99, counters, queue_bytes=4 * frame)
    put(made, '.......')
    assert drain(made) == [5, 6, 7] and counters.dropped == 4
    put(made, '....', first=10)
    stamped(made, 9 * HOUR)  # held back, which takes its bytes as well
    assert (made.waiting, len(made.oldest(9)), counters.dropped) == (3, 2, 6)
    made.begin()
    for i in range(3):
        made.put(np.zeros((560, 560, 3), np.uint8), 20 + i, '')
        assert made.waiting == 1
    assert drain(made) == [22]


def test_bounds_of_the_queue_are_given_to_the_worker():
    worker = StreamWorker(
        VideoStreamingInference(
            random_model('grouped'), processor(), settings=StreamSettings(sample_rate=0.0)
        ),
        queue_bytes=2 * 56 * 56 * 3,
    )
    for i, frame in enumerate(random_clip(1, 5, 56, 56)):
        worker.submit_frame(frame, i + 1)
    assert worker.status().frames_waiting == 1 and worker.status().frames_dropped == 4


@pytest.mark.parametrize(
    'frame_id, sentence',
    [
        ('f' * 2_000_000, 'has 2000000 characters; at most 255'),
        ('f' * 256, 'at most 255'),
        ('\ud800', 'surrogate'),
        (b'eye', 'must be a text'),
        (None, 'must be a text'),
    ],
)
def test_a_frame_id_that_cannot_be_kept_fails(frame_id, sentence):
    made, counters = intake(9)
    made.put(np.zeros((56, 56, 3), np.uint8), 1, frame_id)
    assert (counters.failed, made.waiting) == (1, 0)
    assert sentence in counters.last_error and len(counters.last_error) < 200
    made.put(np.zeros((56, 56, 3), np.uint8), 1, 'é' * 255)
    assert made.waiting == 1


def test_an_image_of_too_many_pixels_fails():
    made, counters = intake(9, max_image_pixels=56 * 56)
    put(made, '.o')
    assert (counters.failed, made.waiting) == (1, 1)
    assert 'is 84x56, 4704 pixels; at most 3136 are taken (max_image' in counters.last_error


@pytest.mark.parametrize('seed', range(30))
def test_the_counters_add_up_whatever_happens(seed):
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
            stream.expire()
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
    assert (
        status.frames_received
        == received
        == (
            status.frames_sampled_out
            + status.frames_ingested
            + status.frames_dropped
            + status.frames_failed
            + status.frames_late
            + status.frames_waiting
        )
    )
