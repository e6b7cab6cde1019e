# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Exceptions at every call from the worker to the engine: nothing ends but what raised.

The calls are found, not listed: a proxy stands before the engine and notes what the worker asks of
it. After each fault a fresh question is answered as by an untouched twin, and the counters add up.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, NoReturn

import pytest
from support.serving.faults import (
    CHOICES,
    FaultError,
    FRAMES,
    Scene,
    TIMEOUT,
    until,
    wait,
)
from support.streams import stream
import torch

from streamvlm_ros.engine import ErrorCode, StreamError, StreamWorker
from streamvlm_ros.engine.serving.faults import is_whole

SITES = (
    'callback.on_change',
    'callback.on_progress',
    'callback.on_watch_event',
    'engine.set_sample_rate',
    'engine.unwatch',
    'engine.watch',
    'engine.watches',
    'questions.abandon',
    'questions.advance',
    'questions.begin',
    'questions.begin_choice',
    'questions.close',
    'questions.decode',
    'questions.must_wait',
    'standing.score',
    'stream.append',
    'stream.due_chunk',
    'stream.info',
    'stream.lacking',
)


def test_the_call_sites_are_all_there_are() -> None:
    """A worker that is used without any fault calls these, and nothing else."""
    scene = Scene()
    try:
        assert not [each.exception() for each in scene.use() if each.exception()]
        scene.check()
        assert not scene.plan.raised and not scene.worker.status().internal_faults
        assert sorted(scene.plan.seen) == sorted(SITES)
    finally:
        scene.worker.stop()


@pytest.mark.parametrize(
    'after, times, kind',
    [
        (False, 1, FaultError),
        (True, 1, FaultError),
        (False, 1, SystemExit),
        (False, 2, FaultError),
    ],
)
@pytest.mark.parametrize('site', SITES)
def test_a_fault_ends_nothing_but_what_raised(
    site: str, after: bool, times: int, kind: Any
) -> None:
    """Before the call has done anything or after it; an exit too; twice in a row."""
    scene = Scene()
    try:
        scene.plan.arm(site, after, times, kind)
        ended = [future.exception() for future in scene.use()]
        scene.plan.arm('', False, 0)
        assert scene.plan.raised
        errors = [error for error in ended if error is not None]
        assert all(isinstance(error, StreamError) for error in errors)
        # A fault ends one request at most; those that are decoded in one pass end together.
        assert len(errors) <= (3 if site == 'questions.decode' else times), errors
        assert all(error.code is ErrorCode.INTERNAL for error in errors), errors
        assert scene.worker.status().internal_faults >= 1
        assert scene.logged and kind.__name__ in scene.logged[0]
        # A frame is tried twice; after that it is lost, as the first one shown was.
        twice = site == 'stream.append' and times == 2 and not after
        scene.check(lost=8 if twice else None)
    finally:
        scene.worker.stop()


@pytest.mark.parametrize(
    'site', ['stream.append', 'stream.info', 'standing.score', 'questions.must_wait']
)
def test_a_fault_that_stays_ends_when_it_ends(site: str) -> None:
    """While it lasts the memory may go; afterwards the stream goes on by itself."""
    scene = Scene()
    try:
        scene.plan.arm(site, False, 10**9)
        scene.worker.ask('Is it there?', max_new_tokens=2)
        for image in FRAMES[8:16]:
            scene.worker.submit_frame(image, 10**12 + scene.shown * 10**9)
            scene.shown += 1
        wait(lambda: scene.plan.raised >= 6)
        until(scene.other.ask('What?', max_new_tokens=2))
        scene.plan.arm('', False, 0)
        wait(lambda: not scene.worker.status().frames_waiting)
        first = scene.shown
        for image in FRAMES[first : first + 4]:
            scene.worker.submit_frame(image, 10**12 + scene.shown * 10**9)
            scene.shown += 1
        wait(lambda: not scene.worker.status().frames_waiting)
        status = scene.worker.status()
        assert status.state in ('streaming', 'answering') and status.internal_faults >= 6
        assert status.frames_received == 20 == status.frames_ingested + status.frames_dropped
        assert 'fault' in status.last_error.lower()
        assert len(scene.logged) < 10, 'A traceback is logged once.'
        assert until(scene.worker.ask('What?', max_new_tokens=2)).text is not None
    finally:
        scene.worker.stop()


def test_who_is_told_can_raise_for_good_and_cost_no_memory() -> None:
    """Several watches change after one chunk, and nobody can be told."""
    scene = Scene()
    try:
        for name in 'abc':
            until(scene.worker.watch('Is it?', CHOICES[:2], threshold=0.01, hold=1, name=name))
        scene.plan.arm('callback.on_watch_event', False, 10**9)
        scene.show(8)
        assert scene.plan.raised >= 3 and scene.worker.status().internal_faults >= 3
        scene.plan.arm('', False, 0)
        scene.check()
    finally:
        scene.worker.stop()


def test_a_memory_that_a_fault_has_damaged_is_emptied() -> None:
    """What does not fit together is not gone on with."""
    scene = Scene()
    try:

        def damage(engine: Any) -> None:
            inner = scene.engine.stream
            inner.cache.drop(inner.cache.entries[1:2])
            raise FaultError('half done')

        with pytest.raises(StreamError, match='half done') as caught:
            until(scene.worker.call(damage))
        assert caught.value.code is ErrorCode.INTERNAL
        status = scene.worker.status()
        assert (status.memory_losses, status.epoch) == (1, 1)
        assert 'emptied after a fault' in status.last_error and status.state != 'error'
        scene.show(4)
        fresh = stream(chunk_frames=4, capacity=140)
        for index in range(8, 12):
            fresh.append_frame(FRAMES[index], (1 + index) * 10**9)
        assert scene.answer(scene.worker) == fresh.ask_choice('Which?', CHOICES).probabilities
    finally:
        scene.worker.stop()


def test_a_device_that_fails_while_keys_are_rotated_costs_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are rotated in place: half of it is nothing to go on with, whatever the error was."""
    engine = stream(chunk_frames=2, capacity=300, rebase_position=60)
    worker = StreamWorker(engine)
    turn = type(engine.model.rotation).rerotate
    failing = iter([True])

    def broken(self: Any, *args: Any) -> Any:
        rotate = turn(self, *args)

        def once(keys: Any) -> NoReturn:
            rotate(keys)
            for _ in failing:
                raise torch.OutOfMemoryError('no room')

        return once

    monkeypatch.setattr(type(engine.model.rotation), 'rerotate', broken)
    worker.start()
    try:
        for index in range(2 * len(FRAMES)):
            worker.submit_frame(FRAMES[index % len(FRAMES)], (1 + index) * 10**9)
        wait(lambda: not worker.status().frames_waiting)
        status = worker.status()
        assert next(failing, None) is None and status.memory_losses == status.epoch == 1
        assert status.frames_ingested == 2 * len(FRAMES) and is_whole(engine.stream, 2)
        assert until(worker.ask('What?', max_new_tokens=2)).epoch == 1
    finally:
        worker.stop()


def test_not_even_an_exit_ends_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault outside of any stream's step is counted with all of them."""
    scene = Scene()
    try:
        thread = scene.worker._thread
        take, calls = thread._take_turn, iter([SystemExit(3), MemoryError(), FaultError('turn')])

        def failing() -> None:
            for error in calls:
                raise error
            take()

        monkeypatch.setattr(thread, '_take_turn', failing)
        scene.show(4)
        assert scene.worker.status().internal_faults == 3
        assert scene.answer(scene.worker)
    finally:
        scene.worker.stop()


@pytest.mark.parametrize('timeout', [1e10, 1e300, 4e9, 86400.0])
def test_no_timeout_is_too_long_to_wait(timeout: float) -> None:
    """A lock cannot wait for longer than 292 years; nobody has to."""
    scene = Scene()
    try:
        waiting = scene.worker.ask('x', after_ns=10**18, timeout=timeout)
        assert scene.answer(scene.worker)
        scene.show(2)
        assert scene.answer(scene.worker) and not waiting.done()
        assert not scene.worker.status().internal_faults
    finally:
        scene.worker.stop()


@pytest.mark.parametrize('timeout', [float('nan'), float('inf'), -1.0, -float('inf')])
def test_what_is_not_a_duration_is_refused(timeout: Any) -> None:
    """With a sentence, before it reaches the thread."""
    worker = StreamWorker(stream())
    for ask in (
        lambda: worker.ask('x', timeout=timeout),
        lambda: worker.ask_choice('x', CHOICES, timeout=timeout),
    ):
        with pytest.raises(StreamError, match='timeout') as caught:
            ask()
        assert caught.value.code is ErrorCode.INVALID_REQUEST


def test_the_watchdog_can_see_what_the_thread_is_doing() -> None:
    """For how long it has not come round, and with what; nothing while it waits for work."""
    scene = Scene()
    try:
        wait(lambda: scene.worker.status().activity == '')
        gate: Future = Future()
        call = scene.worker.call(lambda engine: gate.result(TIMEOUT))
        wait(lambda: scene.worker.status().activity_seconds > 0.05)
        assert scene.worker.status().activity == 'a service other than a question'
        gate.set_result(None)
        until(call)
        wait(lambda: scene.worker.status().activity == '')
    finally:
        scene.worker.stop()
