# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The worker: frames and requests from many threads, one owner of the model."""

from __future__ import annotations

import threading
import time

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
from streamvlm_ros.engine.sampling import StampSampler

SECOND = 10**9
PATIENCE = 60.0


def engine(**settings) -> VideoStreamingInference:
    """Return an engine for a worker."""
    return VideoStreamingInference(random_model('grouped'), processor(),
                                   settings=StreamSettings(**{'sample_rate': 0.0, **settings}))


@pytest.fixture
def worker():
    """Return a running worker that takes every frame."""
    running = StreamWorker(engine())
    running.start()
    yield running
    running.stop()
    assert not running._thread.is_alive()


def balanced(status) -> bool:
    """Tell whether every frame received is accounted for."""
    return status.frames_received == (
        status.frames_sampled_out + status.frames_ingested + status.frames_dropped
        + status.frames_failed + status.frames_waiting)


def error_of(future) -> StreamError:
    """Return the StreamError that a future ends with."""
    error = future.exception(PATIENCE)
    assert isinstance(error, StreamError)
    return error


def test_answers_equal_the_engines_own(worker):
    """Frames through the worker answer as frames into the engine."""
    frames = random_clip(1, 11, 56, 84)
    for i, frame in enumerate(frames):
        worker.submit_frame(frame, (i + 1) * SECOND, 'eye')
    answer = worker.ask('What?', max_new_tokens=6, after_ns=11 * SECOND).result(PATIENCE)
    choice = worker.ask_choice('Which?', ['a', 'b'], after_ns=11 * SECOND).result(PATIENCE)
    status = worker.status()
    own = engine()
    for i, frame in enumerate(frames):
        own.append_frame(frame, (i + 1) * SECOND)
    assert answer.text == own.ask('What?', 6)[0]
    assert choice.choice_probabilities == own.ask_choice('Which?', ['a', 'b']).probabilities
    assert (answer.stamp_ns, answer.oldest_stamp_ns) == (11 * SECOND, SECOND)
    assert (answer.frames, answer.frame_id, answer.epoch) == (11, 'eye', 0)
    assert (status.frames_received, status.frames_ingested) == (11, 11)
    assert balanced(status)


def test_times_count_from_when_the_wanted_frame_was_seen(worker, monkeypatch):
    """Waiting for ``after`` is no part of the time to first token."""
    frame = random_clip(1, 1, 56, 56)[0]
    worker.submit_frame(frame, SECOND)
    worker.ask('First?', max_new_tokens=1).result(PATIENCE)
    seen = {}
    original = type(worker._engine).open_question

    def spy(self, *args, began):
        seen['began'] = began
        return original(self, *args, began=began)

    monkeypatch.setattr(type(worker._engine), 'open_question', spy)
    waiting = worker.ask('What?', max_new_tokens=1, after_ns=2 * SECOND)
    # Answered behind it: the worker has been round with the first one still waiting.
    worker.ask('Other?', max_new_tokens=1).result(PATIENCE)
    before = time.perf_counter()
    worker.submit_frame(frame, 2 * SECOND)
    waiting.result(PATIENCE)
    assert seen['began'] >= before


def test_the_stream_goes_on_while_an_answer_is_decoded(worker, monkeypatch):
    """Frames that come in mid-answer are ingested before it ends, and do not change it."""
    frames = random_clip(1, 24, 56, 56)
    for i in range(4):
        worker.submit_frame(frames[i], (i + 1) * SECOND)
    alone = worker.ask('What?', max_new_tokens=40, after_ns=4 * SECOND).result(PATIENCE)
    decode = type(worker._engine).close_question
    seen = []

    def spy(self, opened, *args):
        seen.append(self.get_cache_info().frames)
        return decode(self, opened, *args)

    monkeypatch.setattr(type(worker._engine), 'close_question', spy)
    future = worker.ask('What?', max_new_tokens=40)
    for i in range(4, 24):
        worker.submit_frame(frames[i], (i + 1) * SECOND)
    answer = future.result(PATIENCE)
    if answer.frames == 4:  # opened before the first of the new frames was taken
        assert answer.text == alone.text
    assert worker.ask('Then?', max_new_tokens=1, after_ns=24 * SECOND).result(PATIENCE)
    assert worker.status().frames_ingested == 24
    assert seen[0] >= answer.frames


def test_many_askers_at_once(worker):
    """Questions from many threads are all answered, each as if asked alone."""
    for i, frame in enumerate(random_clip(1, 4, 56, 56)):
        worker.submit_frame(frame, (i + 1) * SECOND)
    questions = [f'Number {i}?' for i in range(8)]
    alone = [worker.ask(q, max_new_tokens=6, after_ns=4 * SECOND).result(PATIENCE).text
             for q in questions]
    futures = {}

    def ask(question):
        futures[question] = worker.ask(question, max_new_tokens=6)

    threads = [threading.Thread(target=ask, args=(q,)) for q in questions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [futures[q].result(PATIENCE).text for q in questions] == alone


def test_kept_turns_are_serialised_with_the_stream(worker):
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


def test_overload_drops_the_oldest_and_counts():
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


def test_every_fault_ends_in_its_code(worker):
    """Each request that cannot be answered says why; the worker goes on."""
    assert error_of(worker.ask('What?')).code is ErrorCode.NO_FRAMES
    worker.submit_frame(random_clip(1, 1, 56, 56)[0], SECOND)
    assert error_of(worker.ask('')).code is ErrorCode.INVALID_REQUEST
    assert error_of(worker.ask_choice('Which?', ['a'])).code is ErrorCode.INVALID_REQUEST
    for wrong in (0, -1, 4_000_000_000):
        assert error_of(worker.ask('What?', max_new_tokens=wrong)).code is (
            ErrorCode.INVALID_REQUEST)
    assert error_of(worker.ask_choice('Which?', [])).code is ErrorCode.INVALID_REQUEST
    late = worker.ask('What?', after_ns=99 * SECOND, timeout=0.05)
    assert error_of(late).code is ErrorCode.TIMEOUT
    assert worker.ask('What?', max_new_tokens=1).result(PATIENCE).frames == 1
    worker.stop()
    assert error_of(worker.ask('What?')).code is ErrorCode.NOT_ACTIVE
    worker.stop()


def test_reset_ends_open_answers(worker, monkeypatch):
    """An answer that is open across a reset ends with RESET_DURING_ANSWER."""
    worker.submit_frame(random_clip(1, 1, 56, 56)[0], SECOND)
    opened = threading.Event()
    proceed = threading.Event()
    answering = type(worker._engine).open_question

    def held(*args, **kwargs):
        result = answering(*args, **kwargs)
        opened.set()
        assert proceed.wait(PATIENCE)
        return result

    monkeypatch.setattr(type(worker._engine), 'open_question', held)
    future = worker.ask('What?', max_new_tokens=1000)
    assert opened.wait(PATIENCE)
    done = worker.reset()
    proceed.set()
    assert error_of(future).code is ErrorCode.RESET_DURING_ANSWER
    done.result(PATIENCE)
    status = worker.status()
    assert (status.epoch, status.cache_tokens) == (1, 0)


def test_bad_frames_are_counted_and_said(worker):
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


def test_a_full_cache_drops_frames_and_still_answers():
    """The cache being full is an error in the status, not the end."""
    full = StreamWorker(engine(capacity=60, chunk_frames=2))
    full.start()
    for i, frame in enumerate(random_clip(1, 30, 56, 56)):
        full.submit_frame(frame, (i + 1) * SECOND)
    answer = full.ask('What?', max_new_tokens=2, after_ns=30 * SECOND).result(PATIENCE)
    status = full.status()
    assert 0 < answer.frames == status.frames_ingested < 30
    assert status.frames_dropped == 30 - status.frames_ingested
    assert 'KV cache is full' in status.last_error and balanced(status)
    full.stop()


def test_a_cancelled_request_is_dropped(worker):
    """A caller who is gone is not answered; the next one is."""
    worker.submit_frame(random_clip(1, 1, 56, 56)[0], SECOND)
    gone = worker.ask('What?', after_ns=99 * SECOND)
    assert gone.cancel()
    assert worker.ask('What?', max_new_tokens=1).result(PATIENCE)
    assert worker.status().pending_requests == 0


def test_stopping_half_way_ends_every_request(worker):
    """Whatever is open when the worker stops ends with NOT_ACTIVE."""
    worker.submit_frame(random_clip(1, 1, 56, 56)[0], SECOND)
    futures = [worker.ask('What?', max_new_tokens=16_000) for _ in range(2)]
    futures.append(worker.ask('What?', after_ns=99 * SECOND))
    worker.stop()
    assert {error_of(future).code for future in futures} == {ErrorCode.NOT_ACTIVE}


@pytest.mark.parametrize('camera, rate, seconds', [
    (30, 4, 10), (4, 4, 10), (10, 3, 9), (15, 0.5, 7)])
def test_sampling_follows_stamps(camera, rate, seconds):
    """Whatever the camera's rate, so many frames a second of stream time are taken."""
    sampler = StampSampler(rate)
    rng = np.random.default_rng(0)
    jitter = rng.integers(-SECOND // camera // 20, SECOND // camera // 20, camera * seconds)
    stamps = [round(i * SECOND / camera) + SECOND + int(j) for i, j in enumerate(jitter)]
    assert sum(map(sampler.take, stamps)) == round(rate * seconds)


def test_sampling_starts_over_when_stamps_go_back():
    """A looped bag is sampled again from its first frame."""
    sampler = StampSampler(1)
    assert [sampler.take(s * SECOND // 2) for s in (10, 11, 12, 2, 3, 4)] == [
        True, False, True, True, False, True]
