# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A saved stream goes on as if nothing had been."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import pytest
from support.models.random_models import random_clip
from support.saving.consistent import check_consistent
from support.saving.streams import feed, refused, stream, told
import torch

from streamvlm_ros.engine import (
    ErrorCode,
    StreamError,
    StreamWorker,
)
from streamvlm_ros.engine.kvcache.entries import EntryKind

SETTINGS = [
    {},
    {'position_mode': 'append'},
    {'chunk_frames': 8},
    {'skip_static': 4.0},
    {'time_source': 'uniform', 'sample_rate': 3.0},
    {'capacity': 128},
    {'capacity': 128, 'position_mode': 'append', 'kept_turns': 1},
    {'memory_seconds': 3.0},
    {'capacity': 128, 'rebase_position': 60},
]


@pytest.mark.parametrize('settings', SETTINGS, ids=str)
@pytest.mark.parametrize('frames', [1, 2, 5, 16, 31])
def test_goes_on_as_if_nothing_had_been(
    settings: dict, frames: int, tmp_path: pathlib.Path
) -> None:
    """Saved with any number of frames pending; asked and fed further beside the original."""
    engine, other = stream(**settings), stream(**settings)
    feed(engine, 0, frames)
    if frames > 16:
        engine.ask('And before?', 3, update_state=True)
        feed(engine, frames, frames + 3)
    before = engine.get_cache_info()
    saved = engine.save(tmp_path / 'a')
    assert engine.get_cache_info() == before
    assert saved.bytes == (tmp_path / 'a').stat().st_size
    assert (saved.frames, saved.tokens) == (before.frames, before.tokens)
    loaded = other.load(tmp_path / 'a')
    assert loaded == saved
    assert told(other) == told(engine)
    for each in (engine, other):
        feed(each, 40, 57)
    assert told(other) == told(engine)
    assert other.get_cache_info().epoch == 0


def test_still_scenes_are_known_again(tmp_path: pathlib.Path) -> None:
    """The kept patch is compared with after loading too."""
    engine, other = stream(skip_static=4.0), stream(skip_static=4.0)
    image = random_clip(1, 1, 56, 84)[0]
    for i in range(6):
        engine.append_frame(image, float(i))
    engine.save(tmp_path / 'a')
    other.load(tmp_path / 'a')
    for i in range(6, 12):
        other.append_frame(image, float(i))
    assert other.get_cache_info().tokens == engine.get_cache_info().tokens
    assert other.get_cache_info().skipped_patches == 3


def test_positions_that_were_to_be_counted_anew_are(tmp_path: pathlib.Path) -> None:
    """Saved while an open answer put that off: the next question finds it done all the same."""
    engine, other = (stream(rebase_position=90, chunk_frames=2) for _ in range(2))
    feed(engine, 0, 8)
    opened = engine.questions.open('What happened?', 4)
    for i in (0, 1):
        engine.append_frame(random_clip(i, 1, 56, 84)[0], 60.0 + i)
    assert engine.stream.rebasing.put_off
    engine.save(tmp_path / 'a')
    engine.questions.abandon(opened)
    other.load(tmp_path / 'a')
    assert other.stream.state.last_cache_position <= 90 * 4 // 3
    check_consistent(other)
    assert other.ask('What is there?', 8)[0] == engine.ask('What is there?', 8)[0]


def test_stamps_that_go_back_begin_a_new_epoch_as_usual(tmp_path: pathlib.Path) -> None:
    engine, other = stream(), stream()
    feed(engine, 0, 8)
    engine.save(tmp_path / 'a')
    other.load(tmp_path / 'a')
    other.append_frame(random_clip(5, 1, 56, 84)[0], 11.0)
    assert (other.get_cache_info().epoch, other.get_cache_info().frames) == (1, 1)


def test_the_epoch_is_the_saved_one_unless_it_was_another_streams(tmp_path: pathlib.Path) -> None:
    """Two answers of one epoch are about one stream."""
    engine = stream()
    for _ in range(3):
        engine.reset()
    feed(engine, 0, 4)
    assert engine.save(tmp_path / 'a').epoch == 3
    assert stream().load(tmp_path / 'a').epoch == 3
    assert engine.load(tmp_path / 'a').epoch == 4
    assert engine.epoch == engine.get_cache_info().epoch == 4


def test_watches_stay_and_begin_anew(tmp_path: pathlib.Path) -> None:
    """Without an answer, and with the next chunk: the newest one was scored before the load."""
    engine, other = stream(chunk_frames=2), stream(chunk_frames=2)
    for each in (engine, other):
        each.watch('Which?', ['left', 'right'], threshold=0.1, hold=1, name='side')
        feed(each, 0, 4)
        each.score_watches()
    engine.save(tmp_path / 'a')
    engine.load(tmp_path / 'a')
    assert engine.watches()[0].choice == '' and not engine.score_watches()
    for each in (engine, other):
        feed(each, 4, 6)
    [event] = engine.score_watches()
    other.score_watches()
    assert (event.previous, event.epoch) == ('', 1)
    assert event.probabilities == other.watches()[0].probabilities


def test_open_answers_end_when_another_stream_is_loaded(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at a reset; their branch can read no more."""
    engine = stream()
    feed(engine, 0, 8)
    engine.save(tmp_path / 'a')
    opened = engine.questions.open('What is there?', 100)
    engine.load(tmp_path / 'a')
    with pytest.raises(StreamError, match='was reset while the answer was given'):
        engine.questions.decode([opened])
    # In the worker the load comes in between two tokens of an answer.
    worker = StreamWorker(engine)
    calls = []
    open_question = engine.questions.begin

    def open_and_load(*arguments: Any, **options: Any) -> Any:
        calls.append(worker.call(lambda engine: engine.load(tmp_path / 'a')))
        return open_question(*arguments, **options)

    monkeypatch.setattr(engine.questions, 'begin', open_and_load)
    worker.start()
    error = worker.ask('What is there?', max_new_tokens=500).exception(20.0)
    assert calls[0].result(20.0).epoch == 2
    worker.stop()
    assert isinstance(error, StreamError)
    assert error.code == ErrorCode.RESET_DURING_ANSWER


@pytest.mark.parametrize('capacity', [120, 256])
def test_into_a_cache_of_another_size(capacity: int, tmp_path: pathlib.Path) -> None:
    """What has slots beyond the smaller cache's end gets others; the answer is the same."""
    engine, other = stream(capacity=144), stream(capacity=capacity)
    feed(engine, 0, 30)
    engine.ask('And before?', 3, update_state=True)
    feed(engine, 30, 34)
    # Down to what the smaller cache keeps, at slots that go up to the larger one's end.
    engine.stream.memory.evict(
        [entry for entry in engine.stream.cache.entries if entry.info.kind is EntryKind.PATCH][:-3]
    )
    engine.stream.state = dataclasses.replace(
        engine.stream.state, length=engine.stream.cache.length
    )
    assert max(end for _, end in engine.stream.cache.spans) > 120
    engine.save(tmp_path / 'a')
    other.load(tmp_path / 'a')
    for layer in range(3):
        for mine, its in zip(
            engine.stream.cache.content(layer), other.stream.cache.content(layer)
        ):
            assert torch.equal(mine, its)
    assert other.ask('What is there?', 8)[0] == engine.ask('What is there?', 8)[0]


def test_uniform_time_goes_on_at_another_rate(tmp_path: pathlib.Path) -> None:
    """The rate may have been changed before saving, and be another one after loading."""
    engine = stream(time_source='uniform', sample_rate=2.0, chunk_frames=2)
    feed(engine, 0, 4)
    engine.set_sample_rate(1.0)
    feed(engine, 4, 8)
    engine.save(tmp_path / 'a')
    other = stream(time_source='uniform', sample_rate=4.0, chunk_frames=2)
    other.load(tmp_path / 'a')
    feed(other, 8, 10)
    # 2 s for the first four frames, 4 s for the next; the ninth comes at 6 s.
    assert other.stream.newest.time_ns == 6_250_000_000


def test_a_chunk_of_fewer_frames_is_told(tmp_path: pathlib.Path) -> None:
    """Five frames wait; in a stream of chunks of four there is no such thing."""
    engine, other = stream(chunk_frames=8), stream(chunk_frames=4)
    feed(engine, 0, 13)
    feed(other, 0, 3)
    engine.save(tmp_path / 'a')
    refused(other, tmp_path / 'a', 'set chunk_frames to what it was')


def test_waiting_frames_that_never_fit_are_told(tmp_path: pathlib.Path) -> None:
    engine, other = stream(), stream(memory_tokens=60)
    engine.append_frame(random_clip(1, 1, 56, 84)[0], 1.0)
    engine.save(tmp_path / 'a')
    assert other.load(tmp_path / 'a').tokens == 0
    smaller = stream(memory_tokens=40)
    with pytest.raises(StreamError, match='has frames that wait and take') as caught:
        smaller.load(tmp_path / 'a')
    assert caught.value.code == ErrorCode.OUT_OF_MEMORY


def test_a_device_that_fails_leaves_an_empty_stream_in_an_epoch_of_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = stream()
    feed(engine, 0, 9)
    engine.save(tmp_path / 'a')
    monkeypatch.setattr(type(engine.stream.cache), 'store', None)
    with pytest.raises(TypeError):
        engine.load(tmp_path / 'a')
    monkeypatch.undo()
    check_consistent(engine)
    assert (engine.epoch, engine.get_cache_info().tokens) == (1, 0)
    fresh = stream()
    for each in (engine, fresh):
        feed(each, 20, 27)
    assert told(engine)[:2] == told(fresh)[:2]


def test_frames_of_one_number_are_one_object(tmp_path: pathlib.Path) -> None:
    """Whoever knows a frame by its object, as the watches do, knows it behind a load."""
    for frames in (4, 5, 6, 7):
        engine, other = stream(), stream()
        feed(engine, 0, frames)
        engine.save(tmp_path / 'a')
        other.load(tmp_path / 'a')
        check_consistent(other)
        assert len(
            {
                id(frame)
                for frame in (
                    other.stream.newest,
                    other.stream.seen,
                    other.stream.paired,
                    *other.stream.pending,
                )
            }
        ) == len(
            {
                frame.number
                for frame in (
                    engine.stream.newest,
                    engine.stream.seen,
                    engine.stream.paired,
                    *engine.stream.pending,
                )
            }
        )
