# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The worker: frames and requests from many threads, one owner of the model."""

from __future__ import annotations

import inspect
import threading
import time
from typing import Any

import pytest
from support.models.random_models import random_clip
from support.workers import balanced, engine, error_of, never_stopping, NO_STOP, PATIENCE, SECOND

from streamvlm_ros.engine import (
    ErrorCode,
    StreamWorker,
)
from streamvlm_ros.engine.questions.questions import Questions


def test_answers_equal_the_engines_own(worker: StreamWorker) -> None:
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


def test_times_count_from_when_the_wanted_frame_was_seen(
    worker: StreamWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for ``after`` is no part of the time to first token."""
    frame = random_clip(1, 1, 56, 56)[0]
    worker.submit_frame(frame, SECOND)
    worker.ask('First?', max_new_tokens=1).result(PATIENCE)
    seen = {}
    original = Questions.begin

    def spy(*args: Any, **kwargs: Any) -> Any:
        seen.update(inspect.signature(original).bind(*args, **kwargs).arguments)
        return original(*args, **kwargs)

    monkeypatch.setattr(Questions, 'begin', spy)
    waiting = worker.ask('What?', max_new_tokens=1, after_ns=2 * SECOND)
    # Answered behind it: the worker has been round with the first one still waiting.
    worker.ask('Other?', max_new_tokens=1).result(PATIENCE)
    before = time.perf_counter()
    worker.submit_frame(frame, 2 * SECOND)
    waiting.result(PATIENCE)
    assert seen['began'] >= before


def test_the_stream_goes_on_while_an_answer_is_decoded(
    worker: StreamWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames that come in mid-answer are ingested before it ends, and do not change it."""
    frames = random_clip(1, 24, 56, 56)
    for i in range(4):
        worker.submit_frame(frames[i], (i + 1) * SECOND)
    alone = worker.ask('What?', max_new_tokens=40, after_ns=4 * SECOND).result(PATIENCE)
    decode = Questions.close
    seen = []

    def spy(self: Any, opened: Any, *args: Any) -> Any:
        seen.append(worker._session.engine.get_cache_info().frames)
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


class Halted:
    """Questions that stay open: the worker waits behind each decode step until told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: list = []
        self.decoded = threading.Event()
        self.proceed = threading.Event()
        originals = Questions.advance, Questions.decode

        def spy_advance(questions: Any, opened: Any) -> None:
            originals[0](questions, opened)
            self.opened.append(opened)
            opened._template = NO_STOP

        def spy_decode(questions: Any, opened: Any) -> None:
            originals[1](questions, opened)
            if opened:
                self.decoded.set()
                assert self.proceed.wait(PATIENCE)

        monkeypatch.setattr(Questions, 'advance', spy_advance)
        monkeypatch.setattr(Questions, 'decode', spy_decode)

    def freed(self) -> bool:
        """Tell whether no question opened so far holds anything."""
        contexts = [each.context for each in self.opened]
        return all(context.tail.memory_bytes == 0 and not context.open for context in contexts)


@pytest.mark.parametrize('how', ['cancel', 'timeout', 'reset', 'backward', 'fault', 'stop'])
@pytest.mark.parametrize('keep', [False, True])
def test_whatever_ends_an_answer_frees_its_branch(
    worker: StreamWorker, monkeypatch: pytest.MonkeyPatch, how: str, keep: bool
) -> None:
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
        monkeypatch.setattr(
            'streamvlm_ros.engine.serving.request.Request.deadline',
            property(lambda request: 0.0 if halted.decoded.is_set() else float('inf')),
        )
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
        monkeypatch.setattr(type(worker._session.engine.model), 'prefill', None)
    elif how == 'stop':
        threading.Timer(0.0, halted.proceed.set).start()
        worker.stop()
    halted.proceed.set()
    if not future.cancelled():
        expected = {
            'timeout': ErrorCode.TIMEOUT,
            'fault': ErrorCode.INTERNAL,
            'stop': ErrorCode.NOT_ACTIVE,
        }.get(how, ErrorCode.RESET_DURING_ANSWER)
        assert error_of(future).code is expected
    if how != 'stop':
        worker.watches().result(PATIENCE)
    assert halted.freed()
    if how in ('cancel', 'timeout', 'fault'):
        assert worker.status().cache_tokens == before


@pytest.mark.parametrize('chunk_frames', [2, 4])
def test_frames_wait_while_an_answer_holds_what_they_need(
    chunk_frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
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

    def spy(self: Any, opened: Any) -> Any:
        waited.append(small._session.engine.stream.must_wait)
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


def test_positions_are_counted_anew_however_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
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
            largest.append(
                busy.call(lambda engine: engine.get_cache_info().last_cache_position).result(
                    PATIENCE
                )
            )
    for asked in open_:
        asked.result(PATIENCE)
    assert busy._session.engine.stream.cache.rebased > 3
    assert max(largest) < 200
    busy.stop()


@pytest.mark.parametrize('policy', ['frames_first', 'answers_first', 'balanced'])
def test_frames_are_taken_however_many_ask(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.parametrize('policy, second_sees', [('answers_first', 4), ('frames_first', 8)])
def test_kept_turns_have_a_defined_place(
    policy: str, second_sees: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind what was taken before, before what comes later; questions meanwhile see neither."""
    frames = random_clip(1, 8, 56, 56)
    worker = StreamWorker(engine(), policy=policy)
    for i in range(4):
        worker.submit_frame(frames[i], (i + 1) * SECOND)
    opened = []
    original = Questions.begin

    def spy(self: Any, question: Any, *args: Any, **kwargs: Any) -> Any:
        if not opened:
            for i in range(4, 8):
                worker.submit_frame(frames[i], (i + 1) * SECOND)
        opened.append((question, worker._session.engine.stream.frames))
        return original(self, question, *args, **kwargs)

    monkeypatch.setattr(Questions, 'begin', spy)
    ask: dict[str, Any] = dict(max_new_tokens=8, after_ns=4 * SECOND)
    asked = [
        worker.ask('One?', update_state=True, **ask),
        worker.ask('Two?', update_state=True, **ask),
        worker.ask('Other?', **ask),
    ]
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
        own.ask_choice('Which?', ['a', 'b']).probabilities, abs=1e-5
    )
