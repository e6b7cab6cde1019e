# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Chunks of several streams in one ViT call: what each stream has is what it has alone."""

from __future__ import annotations

from typing import Any

import pytest
from support.encoding import alone, take_turn, Vit
from support.models.random_models import random_clip
from support.workers import broken, clip, feed, never_stopping, PATIENCE, SECOND, workers
import torch

from streamvlm_ros.engine import StreamWorker
from streamvlm_ros.engine.positions import Grid
from streamvlm_ros.engine.questions.questions import Questions
from streamvlm_ros.engine.stream import encoder_cache
from streamvlm_ros.engine.stream import frames as frames_module
from streamvlm_ros.engine.stream.encoder_cache import EncoderCache
from streamvlm_ros.engine.stream.stream import FrameStream

ASK: dict[str, Any] = dict(max_new_tokens=12)
ROWS, COLUMNS = 2, 3  # of the merged grid of ``clip``'s frames


@pytest.fixture
def vit(monkeypatch: pytest.MonkeyPatch):
    return Vit(monkeypatch)


def run(many: list[StreamWorker], frames: int) -> list[str]:
    """Run the thread until each stream has so many frames, and return what each says then."""
    futures = [worker.ask('What?', after_ns=frames * SECOND, **ASK) for worker in many]
    many[0].start()
    texts = [future.result(PATIENCE).text for future in futures]
    assert many[0].stop()
    return texts


@pytest.mark.parametrize('settings', [{}, {'position_mode': 'append'}, {'skip_static': 1.0}])
@pytest.mark.parametrize('streams', [2, 3, 4])
def test_what_is_due_at_once_is_one_call(vit: Any, streams: int, settings: dict[str, Any]) -> None:
    """Two chunks each and an odd frame; the same tokens and the same cache as alone."""
    expected = [alone(index, 9, **settings) for index in range(streams)]
    assert vit.patches == [2, 2, 1] * streams
    vit.grids.clear()
    many = workers(streams, **settings)
    for index, worker in enumerate(many):
        feed(worker, 0, 9, index)
    texts = run(many, 9)
    # The odd frames are in the branches of the questions, which are opened in turns.
    assert vit.patches == [2 * streams] * 2 + [1] * streams
    assert texts == [text for text, _ in expected]
    assert len(set(texts)) == streams
    for worker, (_, engine) in zip(many, expected):
        assert (worker.status().chunks_alone, worker.status().chunks_together) == (0, 2)
        assert (engine.stream.chunks_alone, engine.stream.chunks_together) == (2, 0)
        mine, other = worker._session.engine.stream, engine.stream
        assert mine.state == other.state
        for layer in range(len(other.cache.keys)):
            for ours, theirs in zip(mine.cache.content(layer), other.cache.content(layer)):
                torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_more_streams_than_a_call_takes(vit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_cache, 'LARGEST_ON_CPU', 3 * 2 * ROWS * COLUMNS + 1)
    many = workers(5)
    for index, worker in enumerate(many):
        feed(worker, 0, 4, index)
    run(many, 4)
    assert vit.patches == [2 * 3, 2 * 2]


def test_only_frames_of_one_size_are_joined(vit: Any) -> None:
    """Neither another shape with as many tokens, nor what changes its size, if by a pixel."""
    many = workers(4)
    clips = [
        random_clip(1, 4, 56, 84),
        random_clip(2, 4, 84, 56),
        random_clip(3, 4, 56, 84),
        [*random_clip(4, 2, 56, 84), *random_clip(5, 2, 57, 84)],
    ]
    for worker, frames in zip(many, clips):
        for i, frame in enumerate(frames):
            worker.submit_frame(frame, (i + 1) * SECOND)
    run(many, 4)
    # The last chunk's first half is prefilled when the size changes, its second half when asked.
    assert vit.grids == [Grid(4, 2, 3), Grid(2, 3, 2), Grid(1, 2, 3), Grid(1, 2, 3)]
    assert [worker.status().chunks_together for worker in many] == [1, 0, 1, 0]


def test_a_stream_alone_is_not_looked_at(monkeypatch: pytest.MonkeyPatch, vit: Any) -> None:
    monkeypatch.setattr(FrameStream, 'due_chunk', broken)
    monkeypatch.setattr(EncoderCache, 'prepare', broken)
    [worker] = workers(1)
    feed(worker, 0, 8)
    assert run([worker], 8) == [alone(0, 8)[0]]
    assert worker.status().last_error == '' and worker.status().chunks_together == 0


def test_what_is_not_due_is_not_joined(vit: Any) -> None:
    """A chunk that is not full, and one that goes back in time."""
    many = workers(3)
    feed(many[0], 0, 4, 0)
    feed(many[1], 0, 3, 1)
    for i in (2, 3, 0, 1):
        many[2].submit_frame(clip(2, 4)[i], (i + 1) * SECOND)
    for _ in range(3):
        take_turn(many[0])
    assert vit.patches == [2]
    assert [worker.status().chunks_alone for worker in many] == [1, 0, 0]
    assert many[2].status().epoch == 1
    # One more completes the second's chunk, which comes together with the first's next one.
    feed(many[0], 4, 8, 0)
    feed(many[1], 3, 4, 1)
    take_turn(many[0])
    assert vit.patches == [2, 4]


def test_halves_of_chunks_are_not_joined(vit: Any) -> None:
    many = workers(2)
    for index, worker in enumerate(many):
        feed(worker, 0, 2, index)
    for _ in range(2):
        take_turn(many[0])
    assert vit.patches == []
    for index, worker in enumerate(many):
        feed(worker, 2, 4, index)
    for _ in range(2):
        take_turn(many[0])
    assert vit.patches == [4]


def test_nothing_still_is_encoded(vit: Any) -> None:
    """A chunk with a still patch is its stream's own, and only what is new of it is encoded."""
    many = workers(3, skip_static=4.0)
    still = [frame for frame in clip(0, 2) for _ in range(2)]
    for worker, frames in zip(many, ([*still[:2]] * 2, clip(1, 4), clip(2, 4))):
        for i, frame in enumerate(frames):
            worker.submit_frame(frame, (i + 1) * SECOND)
    for _ in range(3):
        take_turn(many[0])
    assert vit.patches == [4, 1]
    assert [worker.status().skipped_patches for worker in many] == [1, 0, 0]
    assert [worker.status().chunks_together for worker in many] == [0, 1, 1]


def test_looking_ahead_for_what_is_still_changes_nothing() -> None:
    [worker] = workers(1, skip_static=4.0)
    feed(worker, 0, 4)
    take_turn(worker)
    still = worker._session.engine.stream.still
    before = still.kept, still.skipped
    frame = clip(0, 4)[3]
    for i in range(4, 8):
        worker.submit_frame(frame, (i + 1) * SECOND)
    due = worker._session.next_chunk()
    assert due is not None and due.cache.prepare(due) is None
    assert (still.kept, still.skipped) == before and before[0] is not None


def test_nothing_is_done_twice_or_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each frame is uploaded once; what was encoded goes with its turn, or a reset."""
    uploaded = []
    upload = frames_module.upload
    monkeypatch.setattr(
        frames_module, 'upload', lambda image, *args: uploaded.append(1) or upload(image, *args)
    )
    many = workers(3)
    for index, worker in enumerate(many):
        feed(worker, 0, 4, index)
    take_turn(many[0])
    assert len(uploaded) == 12
    many[2].reset()
    many[2]._session.run_calls()
    caches = [worker._session.engine.stream.encoder_cache for worker in many]
    assert [cache.prepared is None for cache in caches] == [True, False, True]
    take_turn(many[0])
    assert caches[1].prepared is None
    assert many[1].status().chunks_together == 1 and len(uploaded) == 12


@pytest.mark.parametrize('policy, most', [('frames_first', 4), ('answers_first', 1)])
def test_a_token_waits_for_no_more_chunks_than_before(
    monkeypatch: pytest.MonkeyPatch, vit: Any, policy: str, most: int
) -> None:
    """They are encoded at once, and prefilled one a turn."""
    many = workers(3, chunk_frames=2)
    many[0].set_policy(policy)
    trace = []
    decode, flush = Questions.decode, FrameStream.flush

    def spy_decode(self: Any, opened: Any) -> Any:
        trace.append('a')
        return decode(self, opened)

    def spy_flush(self: Any, complete: bool = False) -> Any:
        trace.append('f')
        return flush(self, complete)

    never_stopping(monkeypatch)
    monkeypatch.setattr(Questions, 'decode', spy_decode)
    for index, worker in enumerate(many):
        feed(worker, 0, 2, index)
        future = worker.ask('Long?', max_new_tokens=4000, after_ns=2 * SECOND)
    while sum(len(worker._session.requests.active) for worker in many) < 3:
        take_turn(many[0])
    monkeypatch.setattr(FrameStream, 'flush', spy_flush)
    for index, worker in enumerate(many):
        feed(worker, 2, 14, index)
    trace.clear()
    vit.grids.clear()
    while any(worker.status().frames_waiting for worker in many):
        take_turn(many[0])
    assert not future.done()
    runs = ''.join(trace).strip('f').split('a')
    assert max(map(len, runs)) == most
    assert trace.count('f') == 3 * 6
    assert vit.patches == [3] * 6
