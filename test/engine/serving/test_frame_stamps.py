# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Header stamps as frames arrive: late, far ahead, going back, or not a time at all."""

from __future__ import annotations

import pathlib
import threading
from typing import Any, NoReturn

import pytest
from support.models.random_models import processor, random_clip, random_model
from support.serving.queue import drain, HOUR, intake, PATIENCE, SECOND, stamped

from streamvlm_ros.cli.replay import append_next
from streamvlm_ros.engine import (
    StreamSettings,
    StreamWorker,
    VideoStreamingInference,
)
from streamvlm_ros.engine.serving.frame_queue import FrameQueue
from streamvlm_ros.engine.serving.metrics import Counters


def test_a_late_frame_is_left_out_and_counted() -> None:
    made, counters = intake(9)
    stamped(made, 10 * SECOND, 11 * SECOND, 11 * SECOND - 1, 10 * SECOND, 11 * SECOND)
    assert drain(made) == [10 * SECOND, 11 * SECOND, 11 * SECOND]
    assert (counters.late, counters.stamp_jumps, counters.last_error) == (2, 0, '')


def test_two_publishers_with_clocks_apart_cost_no_memory() -> None:
    """Every second frame is late; what the first one shows is all there."""
    made, counters = intake(99)
    for i in range(40):
        stamped(made, (100 + i) * SECOND // 30, (100 + i) * SECOND // 30 - SECOND // 20)
    assert drain(made) == [(100 + i) * SECOND // 30 for i in range(40)]
    assert (counters.late, counters.stamp_jumps) == (40, 0)


def test_a_jump_back_begins_a_series_and_says_so() -> None:
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


def test_a_jump_back_empties_the_engine_in_its_turn() -> None:
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


def test_a_reset_that_fails_leaves_no_frame_of_the_new_series_in_the_old_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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

        def broken() -> NoReturn:
            raise RuntimeError('out of reach')

        patch.setattr(engine, 'reset', broken)
        assert append_next(engine, made)
    assert (counters.dropped, engine.epoch) == (1, 0)
    assert append_next(engine, made)
    assert (engine.epoch, engine.newest_stamp_ns) == (1, 6 * SECOND)


def test_a_stamp_from_2038_costs_one_frame_and_nothing_else() -> None:
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
def test_a_second_frame_confirms_the_gap(second: Any, kept: int) -> None:
    """Both are taken in their order; a second one that is late to the first is late."""
    made, counters = intake(9)
    stamped(made, 100 * SECOND, 9 * HOUR, 9 * HOUR + second)
    assert drain(made) == [100 * SECOND, 9 * HOUR, 9 * HOUR + second][: 1 + kept]
    assert (counters.failed, counters.stamp_jumps, counters.late) == (0, 0, 2 - kept)


def test_a_frame_that_is_held_back_is_let_in_when_nothing_else_comes() -> None:
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


def test_the_thread_wakes_for_a_frame_that_is_held_back() -> None:
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


def test_a_reset_lets_any_stamp_begin_and_drops_what_is_held_back() -> None:
    made, counters = intake(9)
    stamped(made, 100 * SECOND, 9 * HOUR)
    made.begin()
    assert (made.waiting, counters.dropped, made.newest_stamp) == (0, 2, 0)
    stamped(made, 3 * SECOND)
    assert (drain(made), counters.stamp_jumps) == ([3 * SECOND], 0)


def test_after_a_load_stamps_are_judged_by_the_loaded_newest(tmp_path: pathlib.Path) -> None:
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
def test_what_is_no_stamp_fails_and_is_never_decoded(stamp: Any) -> None:
    made, counters = intake(9)
    stamped(made, 100 * SECOND, stamp)
    assert made.leave_out(stamp)
    assert (counters.failed, counters.received, made.waiting) == (2, 3, 1)
    assert 'stamp' in counters.last_error and len(counters.last_error) < 200
    assert made.newest_stamp == 100 * SECOND
