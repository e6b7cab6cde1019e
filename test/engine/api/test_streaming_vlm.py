# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The front door in Python: as exact as the engine below it, and safe from several threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
import gc
import logging
import pathlib
import threading
from typing import Any, NoReturn
import weakref

import pytest
from support.streams import clip, everything, stream

import streamvlm_ros
from streamvlm_ros import StreamError, StreamingVLM
from streamvlm_ros.engine import StreamSettings
from streamvlm_ros.errors import (
    BusyError,
    FileError,
    InvalidRequestError,
    NoFramesError,
    NotActiveError,
    OutOfMemoryError,
    ResetDuringAnswerError,
)

CHOICES = ('yes', 'no')
LONGEST = 60.0  # seconds that a thread may take


def front(**settings: Any) -> StreamingVLM:
    """Return one over a random model."""
    return StreamingVLM(stream(**settings))


def engine_of(vlm: StreamingVLM):
    return vlm._turns.engine


def shown(vlm: StreamingVLM, frames: int, seed: int = 0, start: float = 0.0) -> StreamingVLM:
    """Append frames, half a second apart."""
    for i, image in enumerate(clip(seed, frames)):
        vlm.append(image, stamp=start + 0.5 * i)
    return vlm


def test_it_says_what_the_engine_says() -> None:
    vlm, engine = shown(front(), 7), stream()
    for i, image in enumerate(clip(0, 7)):
        engine.append_frame(image, 0.5 * i)
    for keep in (False, True):
        mine, its = vlm.ask('What?', update_state=keep), engine.ask('What?', 128, keep)
        assert (mine.text, mine.prompt_tokens) == (its.text, its.prompt_tokens)
    assert vlm.ask_choice('Is it?', CHOICES) == engine.ask_choice('Is it?', CHOICES)
    assert everything(engine_of(vlm)) == everything(engine)
    assert vlm.info() == engine.get_cache_info() and vlm.settings is engine_of(vlm).settings


def test_the_package_loads_it_as_the_node_does(caplog: pytest.LogCaptureFixture) -> None:
    """By name, with device, dtype and quantization; the engine tells through logging."""
    assert 'StreamingVLM' in dir(streamvlm_ros) and 'StreamingVLM' in streamvlm_ros.__all__
    with caplog.at_level(logging.INFO, 'streamvlm_ros'):
        vlm = StreamingVLM.from_pretrained(
            'tiny', device='cpu', quantization='int8', settings=StreamSettings(capacity=2048)
        )
    assert 'int8' in caplog.text and 'Loaded' in caplog.text
    with vlm:
        assert shown(vlm, 2).ask('What colour is the light now?').frames == 2
        assert vlm.info().capacity == 2048
    wrong: dict[str, Any] = dict(device='tpu:x', dtype='float8', quantization='int3')
    for name, value in wrong.items():
        with pytest.raises(InvalidRequestError, match=str(value)):
            StreamingVLM.from_pretrained('tiny', **{name: value})
    with pytest.raises(OSError):
        StreamingVLM.from_pretrained('/no/such/folder')
    with pytest.raises(AttributeError, match='no attribute'):
        _ = streamvlm_ros.no_such_name


def test_stamps_are_told_by_keyword() -> None:
    """An integer is seconds as stamp, and nanoseconds as stamp_ns; neither goes on at the rate."""
    (image,) = clip(0, 1)
    vlm = front(sample_rate=2.0)
    for given, expected in (
        (dict(), 0),
        (dict(stamp=3), 3_000_000_000),
        (dict(stamp=3.25), 3_250_000_000),
        (dict(stamp_ns=3_300_000_000), 3_300_000_000),
        (dict(), 3_800_000_000),
    ):
        vlm.append(image, **given)
        assert vlm.info().stamp_ns == expected
    for wrong in (
        dict(stamp=1.0, stamp_ns=1),
        dict(stamp_ns=4.0),
        dict(stamp_ns=True),
        dict(stamp=float('nan')),
        dict(stamp=float('inf')),
        dict(stamp='4'),
        dict(stamp=10**400),
        dict(stamp_ns=-1),
    ):
        with pytest.raises(InvalidRequestError):
            vlm.append(image, **wrong)
    assert vlm.info().stamp_ns == 3_800_000_000


def test_pieces_are_the_answer_and_frames_come_between_them() -> None:
    vlm, twin = shown(front(), 8), shown(front(), 8)
    whole = vlm.ask('What?', max_new_tokens=40)
    pieces, answer = [], vlm.stream_answer('What?', max_new_tokens=40)
    assert answer.answer is None
    for i, piece in enumerate(answer):
        assert piece
        pieces.append(piece)
        if i < 8:
            shown(vlm, 1, i, 10.0 + i), shown(twin, 1, i, 10.0 + i)
    assert len(pieces) > 8 and ''.join(pieces) == whole.text == answer.answer.text
    assert answer.answer.frames == 8 and list(answer) == []
    assert everything(engine_of(vlm)) == everything(engine_of(twin))


@pytest.mark.parametrize('how', ['close', 'with', 'drop'])
def test_an_answer_that_is_left_leaves_nothing(how: str) -> None:
    vlm = shown(front(), 6)
    before = everything(engine_of(vlm))
    answer = vlm.stream_answer('What?', max_new_tokens=40, update_state=True)
    next(answer)
    assert engine_of(vlm).stream.cache.pinned
    with pytest.raises(BusyError, match='update_state'):
        shown(vlm, 1, start=9.0)
    if how == 'with':
        with answer:
            pass
    elif how == 'close':
        answer.close()
    if how != 'drop':
        assert list(answer) == [] and answer.answer is None
        with pytest.raises(InvalidRequestError, match='closed before its end'):
            answer.finish()
    del answer
    assert not engine_of(vlm).stream.cache.pinned
    assert everything(engine_of(vlm)) == before
    shown(vlm, 1, start=9.0)


def test_a_turn_that_is_kept_while_it_is_read() -> None:
    vlm, twin = shown(front(), 6), shown(front(), 6)
    answer = vlm.stream_answer('What?', max_new_tokens=9, update_state=True)
    assert ''.join(answer) == twin.ask('What?', max_new_tokens=9, update_state=True).text
    assert everything(engine_of(vlm)) == everything(engine_of(twin))


def test_what_an_open_answer_reads_is_not_overwritten() -> None:
    """The frame is refused with a sentence, and taken once the answer is closed."""
    vlm = shown(front(capacity=120), 60)
    answer = vlm.stream_answer('What?', max_new_tokens=50)
    text = next(answer)
    with pytest.raises(OutOfMemoryError, match='Open answers still read'):
        for i in range(60):
            shown(vlm, 1, i, 30.5 + 0.5 * i)
    newest = vlm.info().stamp_ns
    assert (text + ''.join(answer)) == answer.answer.text
    shown(vlm, 1, 99, newest / 1e9 + 0.5)


def test_events_come_with_the_frame_that_completes_a_chunk() -> None:
    """They are those of the engine below, which is scored after every frame."""
    vlm, engine = front(), stream()
    watch = vlm.watch('Is it?', CHOICES, threshold=0.3, hold=1)
    engine.watch('Is it?', CHOICES, threshold=0.3, hold=1)
    assert vlm.watches() == (watch,) and watch.name == 'watch_1'
    mine, its = [], []
    for i, image in enumerate(clip(3, 40)):
        mine += vlm.append(image, stamp=0.5 * i)
        engine.append_frame(image, 0.5 * i)
        its += engine.score_watches()
    assert mine == its and mine[0].stamp_ns == 1_500_000_000
    vlm.unwatch('watch_1')
    with pytest.raises(InvalidRequestError, match='watch_1'):
        vlm.unwatch('watch_1')


def test_a_watch_that_cannot_be_scored_does_not_lose_the_frame(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    vlm = front()
    vlm.watch('Is it?', CHOICES)

    def fail(asked: Any, view: Any) -> NoReturn:
        raise StreamError(streamvlm_ros.ErrorCode.OUT_OF_MEMORY, 'No room.')

    monkeypatch.setattr(engine_of(vlm).questions, 'score', fail)
    assert shown(vlm, 4).info().frames == 4 and 'No room.' in caplog.text


def test_snapshot_save_load_and_reset(tmp_path: pathlib.Path) -> None:
    vlm = shown(front(), 7)
    state, path = everything(engine_of(vlm)), tmp_path / 'stream'
    snapshot, saved = vlm.snapshot(), vlm.save(path)
    assert saved.frames == 7
    vlm.ask('What?', update_state=True)
    vlm.restore(snapshot)
    assert everything(engine_of(vlm)) == state
    answer = vlm.stream_answer('What?', max_new_tokens=50)
    vlm.reset()
    with pytest.raises(ResetDuringAnswerError):
        list(answer)
    assert vlm.info().frames == 0 and vlm.info().epoch == 1
    with pytest.raises(InvalidRequestError, match='cannot be restored'):
        vlm.restore(snapshot)
    with pytest.raises(NoFramesError):
        vlm.save(path)
    assert vlm.load(str(path)).frames == vlm.info().frames == 7
    with pytest.raises(FileError):
        vlm.load(tmp_path / 'other')


def test_after_close_everything_is_refused_and_the_cache_is_gone() -> None:
    engine = stream()
    cache = weakref.ref(engine.stream.cache)
    with StreamingVLM(engine) as vlm:
        shown(vlm, 4)
        answer = vlm.stream_answer('What?', max_new_tokens=50)
    calls = (
        lambda: shown(vlm, 1),
        lambda: vlm.ask('What?'),
        lambda: vlm.ask_choice('Is it?', CHOICES),
        lambda: vlm.stream_answer('What?'),
        lambda: next(answer),
        answer.finish,
        lambda: vlm.watch('Is it?', CHOICES),
        lambda: vlm.unwatch('watch_1'),
        vlm.watches,
        vlm.snapshot,
        lambda: vlm.restore(None),
        lambda: vlm.save('x'),
        lambda: vlm.load('x'),
        vlm.reset,
        vlm.info,
    )
    for call in calls:
        with pytest.raises(NotActiveError, match='closed'):
            call()
    vlm.close()
    answer.close()
    del engine
    gc.collect()
    assert cache() is None


@pytest.mark.parametrize('view', ['memory', 'now', 'span'])
def test_a_reset_ends_open_answers(view: Any) -> None:
    vlm = shown(front(), 4)
    answer = vlm.stream_answer('What?', max_new_tokens=50, view=view)
    next(answer)
    vlm.reset()
    with pytest.raises(StreamError, match='was reset while') as caught:
        list(answer)
    assert caught.value.code is streamvlm_ros.ErrorCode.RESET_DURING_ANSWER


def test_threads_append_and_ask_at_once() -> None:
    """Every frame is taken, in its order, and what was asked has left nothing."""
    vlm, frames = front(capacity=400), clip(5, 80)
    quiet = front(capacity=400)
    for i, image in enumerate(frames):
        quiet.append(image, stamp=0.5 * i)
    done = threading.Event()

    def append() -> None:
        for i, image in enumerate(frames):
            vlm.append(image, stamp=0.5 * i)
        done.set()

    def ask(number: int) -> list:
        answers = []
        while not (done.is_set() and answers):
            try:
                answers.append(vlm.ask('What?', max_new_tokens=3 + number))
                answers.append(vlm.ask_choice('Is it?', CHOICES))
            except NoFramesError:
                pass
        return answers

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask, number) for number in range(3)]
        pool.submit(append).result(LONGEST)
        assert all(each.result(LONGEST) for each in asked)
    assert everything(engine_of(vlm)) == everything(engine_of(quiet))
    assert not engine_of(vlm).stream.cache.pinned


def test_frames_get_their_turn_while_a_long_answer_is_decoded() -> None:
    """The thread that decodes hands the model over between two tokens, in order."""
    vlm, began, ended = shown(front(), 4), threading.Event(), threading.Event()
    questions = engine_of(vlm).questions
    decode, seen = questions.decode, []

    def slow(sequences: Any) -> None:
        began.set()
        seen.append(vlm._turns.engine.stream.frames)
        decode(sequences)

    questions.decode = slow

    def ask() -> None:
        vlm.ask('What?', max_new_tokens=400)
        ended.set()

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        assert began.wait(LONGEST)
        shown(vlm, 3, start=5.0)
        while_open = not ended.is_set()
        asked.result(LONGEST)
    assert while_open and {4, 5, 6, 7} <= set(seen)


def test_a_kept_turn_keeps_frames_of_other_threads_waiting() -> None:
    """They come after it in the stream."""
    vlm, twin, began = shown(front(), 4), shown(front(), 4), threading.Event()
    questions = engine_of(vlm).questions
    decode = questions.decode

    def slow(sequences: Any) -> None:
        began.set()
        decode(sequences)

    questions.decode = slow
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(vlm.ask, 'What?', max_new_tokens=60, update_state=True)
        assert began.wait(LONGEST)
        shown(vlm, 2, 1, 5.0)
        asked.result(LONGEST)
    twin.ask('What?', max_new_tokens=60, update_state=True)
    shown(twin, 2, 1, 5.0)
    assert everything(engine_of(vlm)) == everything(engine_of(twin))
