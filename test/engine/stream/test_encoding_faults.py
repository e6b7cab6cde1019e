# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Chunks of several streams in one ViT call: faults, and what comes between call and turn."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from support.encoding import alone, take_turn, Vit
from support.workers import broken, clip, error_of, feed, PATIENCE, SECOND, workers
import torch

from streamvlm_ros.engine import ErrorCode, StreamWorker, VideoStreamingInference
from streamvlm_ros.engine.stream import frames


@pytest.fixture
def vit(monkeypatch: pytest.MonkeyPatch):
    return Vit(monkeypatch)


def accounted(worker: StreamWorker) -> tuple[int, int, int]:
    """Return frames ingested, dropped and waiting, which are all that there are."""
    status = worker.status()
    assert status.frames_received == (
        status.frames_ingested + status.frames_dropped + status.frames_waiting
    )
    return status.frames_ingested, status.frames_dropped, status.frames_waiting


def test_a_frame_that_cannot_be_taken_is_its_streams_own(
    monkeypatch: pytest.MonkeyPatch, vit: Any
) -> None:
    """The others' chunks are encoded together all the same."""
    bad = clip(0, 4)[3]
    upload = frames.upload

    def failing(image: Any, *args: Any) -> Any:
        if np.array_equal(image, bad):
            broken()
        return upload(image, *args)

    monkeypatch.setattr(frames, 'upload', failing)
    many = workers(3)
    for index, worker in enumerate(many):
        feed(worker, 0, 4, index)
    for _ in range(3):
        take_turn(many[0])
    assert vit.patches == [4]
    assert [accounted(worker) for worker in many] == [(3, 1, 0), (4, 0, 0), (4, 0, 0)]
    assert ['out of reach' in worker.status().last_error for worker in many] == [
        True,
        False,
        False,
    ]
    # Tried twice, and then dropped; nothing else of the stream is lost.
    assert [worker.status().internal_faults for worker in many] == [2, 0, 0]
    assert not any(worker.status().memory_losses for worker in many)
    feed(many[0], 4, 5, 0)
    take_turn(many[0])
    assert vit.patches == [4, 2]  # what is left of the chunk, and the next frame


@pytest.mark.parametrize('culprit', [None, 0, 1])
def test_a_call_that_fails_is_made_for_each_alone(
    monkeypatch: pytest.MonkeyPatch, culprit: int | None
) -> None:
    """What fails only together has failed for nobody; what fails alone too, for its stream."""

    def fail(patches: Any, grid: Any) -> None:
        if grid.t > 2 and culprit is None:
            broken()
        if culprit is not None and any(
            torch.equal(part, poison) for part in patches.split(len(poison))
        ):
            broken()

    many = workers(3)
    for index, worker in enumerate(many):
        feed(worker, 0, 4, index)
    if culprit is not None:
        owner = many[culprit]._session.engine.stream.encoder_cache
        due = many[culprit]._session.next_chunk()
        poison = owner.prepare(due)
        owner.prepared = None
    vit = Vit(monkeypatch, fail)
    for _ in range(3):
        take_turn(many[0])
    # Once together, and then in turns; a frame that brings a fault is tried twice.
    assert vit.patches == [6, 2, 2, 2] + [2] * (culprit is not None)
    for index, worker in enumerate(many):
        fails = index == culprit
        assert accounted(worker) == ((3, 1, 0) if fails else (4, 0, 0))
        assert ('out of reach' in worker.status().last_error) == fails
        assert (worker.status().chunks_alone, worker.status().chunks_together) == (1 + fails, 0)
        if not fails:
            assert ask(worker._session.engine) == alone(index, 4)[0]


@pytest.mark.parametrize(
    'begun, between, patches, joined',
    [
        (2, 'nothing', [], 1),
        (1, 'question', [1], 1),  # what waits is in its branch, and the chunk as it was
        (2, 'question', [1], 1),
        (2, 'kept', [1], 0),
        (2, 'reset', [2], 0),
    ],
)
def test_what_comes_between_the_call_and_the_turn(
    vit: Any, begun: int, between: str, patches: Any, joined: int
) -> None:
    """The stream finds what it still wants, and encodes by itself what has become of the rest."""
    many = workers(2)
    feed(many[0], 0, 4, 0)
    take_turn(many[0])
    for i in range(begun):
        feed(many[1], i, i + 1, 1)
        take_turn(many[0])
    feed(many[0], 4, 8, 0)
    feed(many[1], begun, 4, 1)
    take_turn(many[0])
    assert vit.patches == [2, 4]
    assert accounted(many[1]) == (begun, 0, 4 - begun)
    engine, own = many[1]._session.engine, alone(1, begun)[1]
    vit.grids.clear()
    if between == 'reset':
        many[1].reset()
        many[1]._session.run_calls()
        own.reset()
        feed(many[1], 0, 4, 1)
    elif between != 'nothing':
        assert ask(engine, between == 'kept') == ask(own, between == 'kept')
        del vit.grids[1:]  # the other one's
    take_turn(many[1])
    assert vit.patches == patches
    assert [worker.status().chunks_together for worker in many] == [1, joined]
    for i in range(0 if between == 'reset' else begun, 4):
        own.append_frame(clip(1, 4)[i], (i + 1) * SECOND)
    assert ask(engine) == ask(own)


def ask(engine: VideoStreamingInference, keep: bool = False) -> str:
    return engine.ask('What?', 12, update_state=keep)[0]


def test_what_is_encoded_is_not_dropped(vit: Any) -> None:
    """However many frames come until its turn: those behind it are dropped for them."""
    many = workers(2)
    many[1]._session.frames._queue_frames = 6
    for index, worker in enumerate(many):
        feed(worker, 0, 4, index)
    take_turn(many[0])
    feed(many[1], 4, 10, 1)
    assert accounted(many[1]) == (0, 4, 6)
    take_turn(many[1])
    assert vit.patches == [4] and many[1].status().chunks_together == 1
    assert [frame.stamp_ns // SECOND for frame in many[1]._session.frames.oldest(9)] == [9, 10]
    feed(many[1], 10, 16, 1)  # and from now on the oldest again
    assert [frame.stamp_ns // SECOND for frame in many[1]._session.frames.oldest(9)] == [
        *range(11, 17)
    ]


def test_frames_dropped_while_they_are_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes in the midst of it drops the oldest as ever; these are then not prefilled."""
    many = workers(2)
    many[1]._session.frames._queue_frames = 4
    for index, worker in enumerate(many):
        feed(worker, 0, 4, index)
    vit = Vit(monkeypatch, lambda patches, grid: grid.t == 4 and feed(many[1], 4, 6, 1))
    take_turn(many[0])
    take_turn(many[1])
    assert vit.patches == [4, 2]
    assert accounted(many[1]) == (4, 2, 0)
    assert many[1].status().oldest_stamp_ns == 3 * SECOND


def test_stopping_in_the_midst(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread ends behind its turn; frames that it did not come to are waiting still."""
    reached, proceed = threading.Event(), threading.Event()

    def hold(patches: Any, grid: Any) -> None:
        reached.set()
        assert proceed.wait(PATIENCE)

    vit = Vit(monkeypatch, hold)
    many = workers(3)
    for index, worker in enumerate(many):
        feed(worker, 0, 4, index)
    waiting = [worker.ask('What?', after_ns=4 * SECOND) for worker in many]
    many[0].start()
    assert reached.wait(PATIENCE)
    assert not many[1].stop(timeout=0.0)
    proceed.set()
    assert many[1].stop(PATIENCE)
    assert {error_of(future).code for future in waiting} == {ErrorCode.NOT_ACTIVE}
    assert vit.patches == [6]
    assert [accounted(worker) for worker in many] == [(4, 0, 0), (0, 0, 4), (0, 0, 4)]
    assert all(worker.status().last_error == '' for worker in many)
