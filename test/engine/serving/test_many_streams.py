# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Several streams in one thread over one model: each as if it were alone, and in turns."""

from __future__ import annotations

import dataclasses
import pathlib
import threading
from typing import Any

import pytest
from support.models.random_models import processor, random_model
from support.workers import broken, clip, error_of, feed, NO_STOP, PATIENCE, SECOND, workers

from streamvlm_ros.engine import (
    ErrorCode,
    open_streams,
    StreamError,
    StreamSettings,
    StreamWorker,
    VideoStreamingInference,
)
from streamvlm_ros.engine.config import MAX_BATCH
from streamvlm_ros.engine.kvcache import allocation
from streamvlm_ros.engine.questions.questions import Questions
from streamvlm_ros.engine.serving.request_queue import MAX_OPEN
from streamvlm_ros.engine.serving.scheduler import RoundRobin
from streamvlm_ros.engine.stream.stream import FrameStream

CHOICES = ('left', 'right', 'neither')


@pytest.fixture
def pair():
    """Return two running workers of one thread that have two frames each."""
    made = workers(2)
    made[0].start()
    for index, worker in enumerate(made):
        feed(worker, 0, 2, index)
        worker.ask('What?', max_new_tokens=1, after_ns=2 * SECOND).result(PATIENCE)
    yield made
    assert made[1].stop()


def asked(worker: StreamWorker, index: int) -> list:
    """Return futures of what is asked about one stream, all open at once."""
    common = dict(max_new_tokens=24, after_ns=9 * SECOND)
    return [
        worker.ask(f'What, {index}?', **common),
        worker.ask('And the other?', **common),
        worker.ask_choice('Which?', CHOICES, after_ns=9 * SECOND),
    ]


def test_answers_are_those_of_separate_workers() -> None:
    """Streams of the same length and another one, their answers decoded in one batch."""
    frames = (9, 9, 11)
    expected = []
    for index, number in enumerate(frames):
        engine = VideoStreamingInference(
            random_model('grouped'), processor(), settings=StreamSettings(sample_rate=0.0)
        )
        alone = StreamWorker(engine)
        feed(alone, 0, number, index)
        futures = asked(alone, index)
        alone.start()
        expected.append([future.result(PATIENCE) for future in futures])
        kept = alone.ask('Keep?', max_new_tokens=6, update_state=True).result(PATIENCE)
        expected[-1] += [kept, alone.ask('Then?', max_new_tokens=6).result(PATIENCE)]
        alone.stop()
    assert len({answers[0].text for answers in expected}) == 3

    together = workers(3)
    batches = []
    decode = Questions.decode

    def spy(self: Any, opened: Any) -> Any:
        batches.append(len({each.answer().frame_id for each in opened}))
        return decode(self, opened)

    futures = []
    for index, worker in enumerate(together):
        feed(worker, 0, frames[index], index)
        futures.append(asked(worker, index))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Questions, 'decode', spy)
        together[0].start()
        given = [[future.result(PATIENCE) for future in each] for each in futures]
    assert max(batches) == 3
    later = [worker.ask('Keep?', max_new_tokens=6, update_state=True) for worker in together]
    for answers, future in zip(given, later):
        answers.append(future.result(PATIENCE))
    later = [worker.ask('Then?', max_new_tokens=6) for worker in together]
    for answers, future in zip(given, later):
        answers.append(future.result(PATIENCE))
    assert together[2].stop()
    for answers, alone in zip(given, expected):
        assert [(a.text, a.stamp_ns, a.frames, a.prompt_tokens, a.frame_id) for a in answers] == [
            (a.text, a.stamp_ns, a.frames, a.prompt_tokens, a.frame_id) for a in alone
        ]
        assert answers[2].choice_probabilities == pytest.approx(
            alone[2].choice_probabilities, abs=1e-5
        )


def test_frames_are_taken_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much waits for one stream, each has a chunk before another has its second."""
    many = workers(3, chunk_frames=2)
    order = []
    append = FrameStream.append

    def spy(self: Any, frame: Any) -> Any:
        order.append(frame.frame_id)
        return append(self, frame)

    monkeypatch.setattr(FrameStream, 'append', spy)
    for index, frames in enumerate((24, 8, 8)):
        feed(many[index], 0, frames, index)
    many[0].start()
    many[0].ask('What?', max_new_tokens=1, after_ns=24 * SECOND).result(PATIENCE)
    many[0].stop()
    assert order == ['eye_0', 'eye_0', 'eye_1', 'eye_1', 'eye_2', 'eye_2'] * 4 + ['eye_0'] * 16


def test_rota() -> None:
    rota: RoundRobin[str] = RoundRobin()
    for name in 'abc':
        rota.join(name)
    wanting = ['abc', 'abc', 'a', 'abc', 'ab', '', 'ab']
    assert [rota.next(who) for who in wanting] == ['a', 'b', 'a', 'c', 'b', None, 'a']


def test_questions_are_opened_in_turns(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of which much is asked keeps no other one waiting, not even beyond its places."""
    order = []
    original = Questions.begin

    def spy(self: Any, question: Any, *args: Any, **kwargs: Any) -> Any:
        order.append(question)
        return original(self, question, *args, **kwargs)

    monkeypatch.setattr(Questions, 'begin', spy)
    busy = [
        pair[0].ask(f'busy {i}', max_new_tokens=60, after_ns=3 * SECOND)
        for i in range(MAX_OPEN + 4)
    ]
    quiet = [pair[1].ask(f'quiet {i}', max_new_tokens=2, after_ns=3 * SECOND) for i in range(2)]
    feed(pair[1], 2, 3)
    feed(pair[0], 2, 3)
    for future in [*busy, *quiet]:
        future.result(PATIENCE)
    assert order.index('quiet 0') <= 2
    assert order.index('quiet 1') - order.index('quiet 0') == 2
    assert [each for each in order if each.startswith('busy')] == [
        f'busy {i}' for i in range(MAX_OPEN + 4)
    ]


def test_more_answers_than_a_pass_takes(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They go in several passes, and are those that they are alone."""
    questions = [f'Number {i}?' for i in range(MAX_OPEN - 2)]
    alone = [
        [worker.ask(q, max_new_tokens=30).result(PATIENCE).text for q in questions]
        for worker in pair
    ]
    passes = []
    decode = Questions.decode

    def spy(self: Any, opened: Any) -> Any:
        passes.append(len(opened))
        return decode(self, opened)

    monkeypatch.setattr(Questions, 'decode', spy)
    futures = [[worker.ask(q, max_new_tokens=30) for q in questions] for worker in pair]
    assert [[future.result(PATIENCE).text for future in each] for each in futures] == alone
    assert max(passes) == MAX_BATCH


class Gate:
    """Holds the thread behind a decode step of so many answers until told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: int) -> None:
        self.reached, self.proceed = threading.Event(), threading.Event()
        self.opened: list = []
        decode = Questions.decode

        def held(questions: Any, opened: Any) -> Any:
            decode(questions, opened)
            self.opened = list(opened)
            if len(opened) == answers:
                self.reached.set()
                assert self.proceed.wait(PATIENCE)

        monkeypatch.setattr(Questions, 'decode', held)


@pytest.mark.parametrize('how', ['reset', 'backward', 'cancel', 'load', 'fault', 'call'])
def test_what_ends_one_streams_answers_ends_no_others(
    pair: Any, monkeypatch: pytest.MonkeyPatch, how: str, tmp_path: pathlib.Path
) -> None:
    expected = pair[1].ask('What?', max_new_tokens=40).result(PATIENCE)
    pair[0].call(lambda engine: engine.save(tmp_path / 'saved')).result(PATIENCE)
    gate = Gate(monkeypatch, 3)
    ended = pair[0].ask('And?', max_new_tokens=1000)
    other, third = (pair[1].ask('What?', max_new_tokens=40) for _ in range(2))
    assert gate.reached.wait(PATIENCE)
    before = pair[1].status()
    if how == 'reset':
        pair[0].reset()
    elif how == 'backward':
        pair[0].submit_frame(clip(0, 1)[0], SECOND // 2)  # the newest has that of second 2
    elif how == 'cancel':
        ended.cancel()
    elif how == 'load':
        pair[0].reset()
        pair[0].call(lambda engine: engine.load(tmp_path / 'saved'))
    elif how == 'call':
        with pytest.raises(StreamError, match='out of reach'):
            gate.proceed.set()
            pair[0].call(lambda engine: broken()).result(PATIENCE)
        ended.cancel()
    else:
        # The pass of both fails, and that of the first alone.
        [first] = [each for each in gate.opened if each.answer().frame_id == 'eye_0']
        monkeypatch.setattr(first.context.tail, 'write', broken)
    gate.proceed.set()
    assert other.result(PATIENCE).text == third.result(PATIENCE).text == expected.text
    if how not in ('cancel', 'call'):
        assert error_of(ended).code is (
            ErrorCode.INTERNAL if how == 'fault' else ErrorCode.RESET_DURING_ANSWER
        )
    pair[0].watches().result(PATIENCE)
    after = pair[1].status()
    assert (after.epoch, after.cache_tokens, after.frames_ingested, after.last_error) == (
        before.epoch,
        before.cache_tokens,
        2,
        '',
    )
    assert (
        pair[0].ask('What?', max_new_tokens=2, after_ns=0).exception(PATIENCE) is None
        or how == 'reset'
    )


def test_a_stream_that_fails_is_alone_with_it(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that stays: its status says so, the others go on; it goes on when the fault ends."""
    waiting = pair[0].ask('What?', after_ns=6 * SECOND)
    monkeypatch.setattr(pair[0]._session.engine.stream, 'append', broken)
    feed(pair[0], 2, 5)
    feed(pair[1], 2, 6)
    answer = pair[1].ask('What?', max_new_tokens=2, after_ns=6 * SECOND).result(PATIENCE)
    pair[0].watches().result(PATIENCE)
    assert answer.frames == 6 and pair[1].status().state != 'error'
    failing = pair[0].status()
    assert failing.state == 'error' and 'out of reach' in failing.last_error
    assert failing.frames_dropped == 3 and not waiting.done()
    monkeypatch.undo()
    feed(pair[0], 5, 6)
    assert waiting.result(PATIENCE).frames == 1
    assert pair[0].status().state != 'error' and pair[0].status().memory_losses
    assert not pair[1].status().internal_faults


def test_a_kept_turn_halts_its_own_stream_only(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch, 2)
    futures = [
        worker.ask('Long?', max_new_tokens=4000, update_state=worker is pair[0]) for worker in pair
    ]
    assert gate.reached.wait(PATIENCE)
    for opened in gate.opened:
        opened._template = NO_STOP
    for worker in pair:
        feed(worker, 2, 6)
    gate.proceed.set()
    pair[1].ask_choice('Which?', CHOICES, after_ns=6 * SECOND).result(PATIENCE)
    assert not futures[0].done()
    assert (pair[0].status().frames_ingested, pair[0].status().frames_waiting) == (2, 4)
    assert pair[1].status().frames_ingested == 6
    for future in futures:
        future.cancel()


def test_overload_of_one_stream_is_its_own() -> None:
    many = workers(2)
    many[0]._session.frames._queue_frames = 2
    for index, worker in enumerate(many):
        feed(worker, 0, 8, index)
    assert [worker.status().frames_dropped for worker in many] == [6, 0]
    assert [bool(worker.status().last_error) for worker in many] == [True, False]
    waiting = [worker.ask('What?') for worker in many]
    assert many[0].stop()
    assert {error_of(future).code for future in waiting} == {ErrorCode.NOT_ACTIVE}


def test_a_policy_is_the_threads() -> None:
    many = workers(2)
    many[1].set_policy('balanced')
    assert many[0]._thread._turns.policy.value == 'balanced'


def test_the_weights_are_there_once() -> None:
    many = workers(4)
    pointers = [{p.data_ptr() for p in worker._session.model.parameters()} for worker in many]
    assert all(each == pointers[0] for each in pointers)
    caches = [worker._session.engine.stream.cache for worker in many]
    assert len({cache.keys[0].data_ptr() for cache in caches}) == 4


def test_another_model_is_refused() -> None:
    worker = StreamWorker(VideoStreamingInference(random_model('grouped'), processor()))
    other = VideoStreamingInference(random_model('ungrouped'), processor())
    with pytest.raises(ValueError, match='must have one model'):
        StreamWorker(other, beside=worker)


def test_the_caches_of_all_streams_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would fit by itself; nothing is allocated."""
    model = random_model('grouped')
    token = model.layer_bytes * 3
    monkeypatch.setattr(allocation, 'available_bytes', lambda device: 1000 * token)
    settings = [
        StreamSettings(capacity=400, open_views=0),
        StreamSettings(memory_bytes=500 * token, open_views=0),
    ]
    assert [
        engine.get_cache_info().capacity for engine in open_streams(model, processor(), settings)
    ] == [400, 500]
    monkeypatch.setattr(type(model), 'new_cache', broken)
    with pytest.raises(
        StreamError,
        match=(
            r'The KV caches of 2 streams, 901 tokens together, take .* GB and do not fit the '
            r'device; 900 tokens would fit\.'
        ),
    ) as caught:
        one_more = dataclasses.replace(settings[0], capacity=401)
        open_streams(model, processor(), [one_more, settings[1]])
    assert caught.value.code is ErrorCode.OUT_OF_MEMORY
    looking = dataclasses.replace(settings[0], open_views=1, view_tokens=101)
    with pytest.raises(
        StreamError, match='900 tokens together, with room for views of 101 tokens, take'
    ):
        open_streams(model, processor(), [looking, settings[1]])
