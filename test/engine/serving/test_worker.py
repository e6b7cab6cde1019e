# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The worker: frames and requests from many threads, one owner of the model."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from support.models.random_models import processor, random_clip, random_model
from support.workers import error_of, never_stopping, NO_STOP, PATIENCE, SECOND

from streamvlm_ros.engine import (
    ErrorCode,
    StreamSettings,
    StreamWorker,
    VideoStreamingInference,
)
from streamvlm_ros.engine.questions.questions import Questions
from streamvlm_ros.engine.serving.request_queue import MAX_OPEN


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
    assert not running._thread._thread.is_alive()


def balanced(status) -> bool:
    """Tell whether every frame received is accounted for."""
    return status.frames_received == (
        status.frames_sampled_out + status.frames_ingested + status.frames_dropped
        + status.frames_failed + status.frames_late + status.frames_waiting)


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
    original = Questions.begin

    def spy(self, *args, began):
        seen['began'] = began
        return original(self, *args, began=began)

    monkeypatch.setattr(Questions, 'begin', spy)
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
    decode = Questions.close
    seen = []

    def spy(self, opened, *args):
        seen.append(worker._stream.engine.get_cache_info().frames)
        return decode(self, opened, *args)

    monkeypatch.setattr(Questions, 'close', spy)
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
    answering = Questions.begin

    def held(*args, **kwargs):
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


def test_a_full_cache_lets_the_oldest_go():
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


class Halted:
    """Questions that stay open: the worker waits behind each decode step until told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: list = []
        self.decoded = threading.Event()
        self.proceed = threading.Event()
        originals = Questions.advance, Questions.decode

        def spy_advance(questions, opened):
            originals[0](questions, opened)
            self.opened.append(opened)
            opened.answering._prompt = NO_STOP

        def spy_decode(questions, opened):
            originals[1](questions, opened)
            if opened:
                self.decoded.set()
                assert self.proceed.wait(PATIENCE)

        monkeypatch.setattr(Questions, 'advance', spy_advance)
        monkeypatch.setattr(Questions, 'decode', spy_decode)

    def freed(self) -> bool:
        """Tell whether no question opened so far holds anything."""
        contexts = [each.branch.context for each in self.opened]
        return all(context.tail.memory_bytes == 0 and not context._pin.open
                   for context in contexts)




@pytest.mark.parametrize('how', ['cancel', 'timeout', 'reset', 'backward', 'fault', 'stop'])
@pytest.mark.parametrize('keep', [False, True])
def test_whatever_ends_an_answer_frees_its_branch(worker, monkeypatch, how, keep):
    """And the stream is as if it had not been asked."""
    frames = random_clip(1, 3, 56, 56)
    for i in range(2):
        worker.submit_frame(frames[i], (i + 5) * SECOND)
    worker.ask('First?', max_new_tokens=1, after_ns=6 * SECOND).result(PATIENCE)
    worker.watches().result(PATIENCE)  # the worker has been round
    before = worker.status().cache_tokens
    halted = Halted(monkeypatch)
    future = worker.ask('What?', max_new_tokens=1000, update_state=keep)
    if how == 'timeout':
        # The time is over once the first token is there.
        monkeypatch.setattr('streamvlm_ros.engine.serving.request.Request.deadline', property(
            lambda request: 0.0 if halted.decoded.is_set() else float('inf')))
    assert halted.decoded.wait(PATIENCE)
    assert not halted.freed()
    if how == 'cancel':
        assert future.cancel()
    elif how == 'reset':
        worker.reset()
    elif how == 'backward':
        if keep:
            future.cancel()  # frames wait for a kept answer
        worker.submit_frame(frames[2], SECOND)
    elif how == 'fault':
        monkeypatch.setattr(type(worker._stream.engine._model), 'prefill', None)
    elif how == 'stop':
        threading.Timer(0.0, halted.proceed.set).start()
        worker.stop()
    halted.proceed.set()
    if not future.cancelled():
        expected = {'timeout': ErrorCode.TIMEOUT, 'fault': ErrorCode.INTERNAL,
                    'stop': ErrorCode.NOT_ACTIVE}.get(how, ErrorCode.RESET_DURING_ANSWER)
        assert error_of(future).code is expected
    if how != 'stop':
        worker.watches().result(PATIENCE)
    assert halted.freed()
    if how in ('cancel', 'timeout', 'fault'):
        assert worker.status().cache_tokens == before


@pytest.mark.parametrize('chunk_frames', [2, 4])
def test_frames_wait_while_an_answer_holds_what_they_need(chunk_frames, monkeypatch):
    """A small cache and a long answer: frames wait for its end in the queue, none is lost.

    Nor does a question fail that needs the room; it waits too.
    """
    never_stopping(monkeypatch)
    small = StreamWorker(engine(capacity=96, chunk_frames=chunk_frames))
    frames = random_clip(1, 40, 56, 56)
    for i in range(8):
        small.submit_frame(frames[i], (i + 1) * SECOND)
    future = small.ask('What?', max_new_tokens=90, after_ns=8 * SECOND)
    for i in range(8, 40):
        small.submit_frame(frames[i], (i + 1) * SECOND)
    # Odd ones, so that pairs are left over which the questions prefill.
    others = [small.ask('And?', max_new_tokens=5, after_ns=i * SECOND) for i in range(9, 40, 2)]
    waited = []
    decode = Questions.decode

    def spy(self, opened):
        waited.append(small._stream.engine.frames_must_wait)
        return decode(self, opened)

    monkeypatch.setattr(Questions, 'decode', spy)
    small.start()
    assert future.result(PATIENCE).completion_tokens == 90
    assert {other.result(PATIENCE).completion_tokens for other in others} == {5}
    small.ask('Then?', max_new_tokens=1, after_ns=40 * SECOND).result(PATIENCE)
    status = small.status()
    assert (status.frames_ingested, status.frames_dropped, status.last_error) == (40, 0, '')
    assert any(waited)
    small.stop()


def test_positions_are_counted_anew_however_many_ask(monkeypatch):
    """When it is due, questions wait until the open ones have ended."""
    never_stopping(monkeypatch)
    busy = StreamWorker(engine(capacity=128, chunk_frames=2, rebase_position=100))
    frames = random_clip(1, 200, 56, 56)
    busy.start()
    largest = []
    open_ = [None] * 3
    for i, frame in enumerate(frames):
        busy.submit_frame(frame, (i + 1) * SECOND)
        if i % 3 == 2:  # there is always a question open, or waiting
            asked = open_.pop(0)
            if asked is not None:
                asked.result(PATIENCE)
            open_.append(busy.ask('What?', max_new_tokens=30, after_ns=SECOND))
            largest.append(busy.call(
                lambda engine: engine.get_cache_info().last_cache_position).result(PATIENCE))
    for asked in open_:
        asked.result(PATIENCE)
    assert busy._stream.engine._stream.cache.rebased > 3
    assert max(largest) < 200
    busy.stop()


@pytest.mark.parametrize('policy', ['frames_first', 'answers_first', 'balanced'])
def test_frames_are_taken_however_many_ask(policy, monkeypatch):
    """Where every answer holds what goes for the next chunk, new questions wait for the chunk."""
    never_stopping(monkeypatch)
    busy = StreamWorker(engine(capacity=120, chunk_frames=8), policy=policy)
    busy.start()
    frames = random_clip(1, 64, 56, 56)
    for i, frame in enumerate(frames[:40]):
        busy.submit_frame(frame, (i + 1) * SECOND)
    busy.ask('Full?', max_new_tokens=1, after_ns=40 * SECOND).result(PATIENCE)
    taken, asked = threading.Event(), []

    def ask(tokens: int) -> None:
        if not taken.is_set() and len(asked) < 300:
            asked.append(busy.ask('What?', max_new_tokens=tokens))
            asked[-1].add_done_callback(lambda future: ask(tokens))

    for tokens in (5, 7, 9):  # one is open whenever another ends
        ask(tokens)
    for i, frame in enumerate(frames[40:], start=40):
        busy.submit_frame(frame, (i + 1) * SECOND)
    busy.ask('Now?', max_new_tokens=1, after_ns=64 * SECOND).result(PATIENCE)
    taken.set()
    assert len(asked) < 150
    for each in asked:
        assert each.result(PATIENCE).completion_tokens
    assert busy.status().frames_ingested == 64
    busy.stop()


def test_more_questions_than_places_are_all_answered(worker, monkeypatch):
    """What has no place in the batch waits for one."""
    most = []
    decode = Questions.decode

    def spy(self, opened):
        most.append(len(opened))
        return decode(self, opened)

    monkeypatch.setattr(Questions, 'decode', spy)
    worker.submit_frame(random_clip(1, 1, 56, 56)[0], SECOND)
    futures = [worker.ask(f'Number {i}?', max_new_tokens=30, after_ns=SECOND)
               for i in range(2 * MAX_OPEN)]
    texts = [future.result(PATIENCE).text for future in futures]
    own = engine()
    own.append_frame(random_clip(1, 1, 56, 56)[0], SECOND)
    assert texts == [own.ask(f'Number {i}?', 30)[0] for i in range(2 * MAX_OPEN)]
    assert max(most) == MAX_OPEN


@pytest.mark.parametrize('policy, second_sees', [
    ('answers_first', 4), ('frames_first', 8)])
def test_kept_turns_have_a_defined_place(policy, second_sees, monkeypatch):
    """Behind what was taken before, before what comes later; questions meanwhile see neither."""
    frames = random_clip(1, 8, 56, 56)
    worker = StreamWorker(engine(), policy=policy)
    for i in range(4):
        worker.submit_frame(frames[i], (i + 1) * SECOND)
    opened = []
    original = Questions.begin

    def spy(self, question, *args, **kwargs):
        if not opened:
            for i in range(4, 8):
                worker.submit_frame(frames[i], (i + 1) * SECOND)
        opened.append((question, worker._stream.engine._stream.frames))
        return original(self, question, *args, **kwargs)

    monkeypatch.setattr(Questions, 'begin', spy)
    ask = dict(max_new_tokens=8, after_ns=4 * SECOND)
    asked = [worker.ask('One?', update_state=True, **ask),
             worker.ask('Two?', update_state=True, **ask), worker.ask('Other?', **ask)]
    worker.start()
    texts = [future.result(PATIENCE).text for future in asked]
    last = worker.ask_choice('Which?', ['a', 'b'], after_ns=8 * SECOND).result(PATIENCE)
    worker.stop()
    assert opened == [('One?', 4), ('Other?', 4), ('Two?', second_sees)]
    own = engine()
    for i in range(4):
        own.append_frame(frames[i], (i + 1) * SECOND)
    other = own.ask('Other?', 8)[0]
    kept = [own.ask('One?', 8, True)[0]]
    for i in range(4, second_sees):
        own.append_frame(frames[i], (i + 1) * SECOND)
    kept.append(own.ask('Two?', 8, True)[0])
    for i in range(second_sees, 8):
        own.append_frame(frames[i], (i + 1) * SECOND)
    assert texts == [*kept, other]
    assert last.choice_probabilities == pytest.approx(
        own.ask_choice('Which?', ['a', 'b']).probabilities, abs=1e-5)


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
