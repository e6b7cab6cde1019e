# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Requests to the worker: many at once, faults, reset, cancel and stop."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from support.models.random_models import random_clip
from support.workers import balanced, engine, error_of, PATIENCE, SECOND

from streamvlm_ros.engine import (
    ErrorCode,
    StreamWorker,
)
from streamvlm_ros.engine.questions.questions import Questions
from streamvlm_ros.engine.serving.request import Request
from streamvlm_ros.engine.serving.request_queue import MAX_OPEN


def test_many_askers_at_once(worker: StreamWorker) -> None:
    """Questions from many threads are all answered, each as if asked alone."""
    for i, frame in enumerate(random_clip(1, 4, 56, 56)):
        worker.submit_frame(frame, (i + 1) * SECOND)
    questions = [f'Number {i}?' for i in range(8)]
    alone = [
        worker.ask(q, max_new_tokens=6, after_ns=4 * SECOND).result(PATIENCE).text
        for q in questions
    ]
    futures = {}

    def ask(question: Any) -> None:
        futures[question] = worker.ask(question, max_new_tokens=6)

    threads = [threading.Thread(target=ask, args=(q,)) for q in questions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [futures[q].result(PATIENCE).text for q in questions] == alone


def test_kept_turns_are_serialised_with_the_stream(worker: StreamWorker) -> None:
    """Frames wait while a kept answer is decoded; every frame arrives behind it."""
    frames = random_clip(1, 12, 56, 56)
    for i in range(4):
        worker.submit_frame(frames[i], (i + 1) * SECOND)
    kept = worker.ask('What?', max_new_tokens=12, update_state=True, after_ns=4 * SECOND)
    for i in range(4, 12):
        worker.submit_frame(frames[i], (i + 1) * SECOND)
    assert kept.result(PATIENCE).completion_tokens > 0
    assert worker.ask('Now?', max_new_tokens=2, after_ns=12 * SECOND).result(PATIENCE)
    assert worker.status().frames_ingested == 12 and not worker.status().last_error


def test_overload_drops_the_oldest_and_counts() -> None:
    """A queue of three keeps the newest three; the numbers add up."""
    slow = StreamWorker(engine(), queue_frames=3)
    frames = random_clip(1, 9, 56, 56)
    for i, frame in enumerate(frames):  # not started: nothing is taken from the queue
        slow.submit_frame(frame, (i + 1) * SECOND)
    status = slow.status()
    assert (status.frames_received, status.frames_dropped, status.frames_waiting) == (9, 6, 3)
    assert balanced(status) and 'dropped' in status.last_error
    slow.start()
    answer = slow.ask('What?', max_new_tokens=1, after_ns=9 * SECOND).result(PATIENCE)
    assert (answer.frames, answer.oldest_stamp_ns) == (3, 7 * SECOND)
    slow.stop()


def test_every_fault_ends_in_its_code(worker: StreamWorker) -> None:
    """Each request that cannot be answered says why; the worker goes on."""
    assert error_of(worker.ask('What?')).code is ErrorCode.NO_FRAMES
    worker.submit_frame(random_clip(1, 1, 56, 56)[0], SECOND)
    assert error_of(worker.ask('')).code is ErrorCode.INVALID_REQUEST
    assert error_of(worker.ask_choice('Which?', ['a'])).code is ErrorCode.INVALID_REQUEST
    for wrong in (0, -1, 4_000_000_000):
        assert error_of(worker.ask('What?', max_new_tokens=wrong)).code is (
            ErrorCode.INVALID_REQUEST
        )
    assert error_of(worker.ask_choice('Which?', [])).code is ErrorCode.INVALID_REQUEST
    late = worker.ask('What?', after_ns=99 * SECOND, timeout=0.05)
    assert error_of(late).code is ErrorCode.TIMEOUT
    assert worker.ask('What?', max_new_tokens=1).result(PATIENCE).frames == 1
    worker.stop()
    assert error_of(worker.ask('What?')).code is ErrorCode.NOT_ACTIVE
    worker.stop()


def test_reset_ends_open_answers(worker: StreamWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is open across a reset ends with RESET_DURING_ANSWER."""
    worker.submit_frame(random_clip(1, 1, 56, 56)[0], SECOND)
    opened = threading.Event()
    proceed = threading.Event()
    answering = Questions.begin

    def held(*args: Any, **kwargs: Any) -> Any:
        result = answering(*args, **kwargs)
        opened.set()
        assert proceed.wait(PATIENCE)
        return result

    monkeypatch.setattr(Questions, 'begin', held)
    future = worker.ask('What?', max_new_tokens=1000)
    assert opened.wait(PATIENCE)
    done = worker.reset()
    proceed.set()
    assert error_of(future).code is ErrorCode.RESET_DURING_ANSWER
    done.result(PATIENCE)
    status = worker.status()
    assert (status.epoch, status.cache_tokens) == (1, 0)


def test_bad_frames_are_counted_and_said(worker: StreamWorker) -> None:
    """No stamp, no image, an undecodable message: counted as failed, the stream goes on."""
    frame = random_clip(1, 1, 56, 56)[0]
    worker.submit_frame(frame, 0)
    assert 'no header stamp' in worker.status().last_error
    worker.submit_frame(np.zeros((0, 3, 3), np.uint8), SECOND)
    worker.count_failed('Encoding foo is unknown.')
    assert worker.status().last_error == 'Encoding foo is unknown.'
    worker.submit_frame(frame, SECOND)
    assert worker.ask('What?', max_new_tokens=1, after_ns=SECOND).result(PATIENCE).frames == 1
    status = worker.status()
    assert (status.frames_received, status.frames_failed, status.frames_ingested) == (4, 3, 1)
    assert balanced(status)


def test_a_full_cache_lets_the_oldest_go() -> None:
    """Every frame is taken, the memory stays as large as it was, and questions are answered."""
    full = StreamWorker(engine(capacity=60, chunk_frames=2))
    full.start()
    memory = full.status().memory_bytes
    for i, frame in enumerate(random_clip(1, 30, 56, 56)):
        full.submit_frame(frame, (i + 1) * SECOND)
    answer = full.ask('What?', max_new_tokens=2, after_ns=30 * SECOND).result(PATIENCE)
    status = full.status()
    assert status.frames_ingested == 30 and not status.last_error and balanced(status)
    assert answer.oldest_stamp_ns == status.oldest_stamp_ns > SECOND
    assert (status.memory_bytes, status.cache_tokens <= 60) == (memory, True)
    assert status.evicted_tokens > 0
    full.stop()


def test_looking_whether_a_question_is_due_changes_nothing() -> None:
    """The time from which its answer is measured is noted when its frame is seen."""
    session = StreamWorker(engine())._session
    early, late = Request('Now?', after_ns=0), Request('Then?', after_ns=10**18)
    for request in (early, late):
        session.submit(request)
    assert session.due().question and early.ready is None
    session.look_around()
    assert early.ready is not None and late.ready is None
    first = early.ready
    session.look_around()
    assert session.due().question and early.ready == first


def test_more_questions_than_places_are_all_answered(
    worker: StreamWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has no place in the batch waits for one."""
    most = []
    decode = Questions.decode

    def spy(self: Any, opened: Any) -> Any:
        most.append(len(opened))
        return decode(self, opened)

    monkeypatch.setattr(Questions, 'decode', spy)
    worker.submit_frame(random_clip(1, 1, 56, 56)[0], SECOND)
    futures = [
        worker.ask(f'Number {i}?', max_new_tokens=30, after_ns=SECOND) for i in range(2 * MAX_OPEN)
    ]
    texts = [future.result(PATIENCE).text for future in futures]
    own = engine()
    own.append_frame(random_clip(1, 1, 56, 56)[0], SECOND)
    assert texts == [own.ask(f'Number {i}?', 30)[0] for i in range(2 * MAX_OPEN)]
    assert max(most) == MAX_OPEN


def test_a_cancelled_request_is_dropped(worker: StreamWorker) -> None:
    """A caller who is gone is not answered; the next one is."""
    worker.submit_frame(random_clip(1, 1, 56, 56)[0], SECOND)
    gone = worker.ask('What?', after_ns=99 * SECOND)
    assert gone.cancel()
    assert worker.ask('What?', max_new_tokens=1).result(PATIENCE)
    assert worker.status().pending_requests == 0


def test_stopping_half_way_ends_every_request(worker: StreamWorker) -> None:
    """Whatever is open when the worker stops ends with NOT_ACTIVE."""
    worker.submit_frame(random_clip(1, 1, 56, 56)[0], SECOND)
    futures = [worker.ask('What?', max_new_tokens=16_000) for _ in range(2)]
    futures.append(worker.ask('What?', after_ns=99 * SECOND))
    worker.stop()
    assert {error_of(future).code for future in futures} == {ErrorCode.NOT_ACTIVE}
