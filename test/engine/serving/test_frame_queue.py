# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The queue before the stream: it is bounded, and whole temporal patches are dropped."""

from __future__ import annotations

import numpy as np
import pytest
from support.models.random_models import processor, random_clip, random_model
from support.serving.queue import drain, HOUR, intake, put, SECOND, stamped

from streamvlm_ros.cli.replay import append_next
from streamvlm_ros.engine import (
    StreamSettings,
    StreamWorker,
    VideoStreamingInference,
)
from streamvlm_ros.engine.serving.frame_queue import FrameQueue
from streamvlm_ros.engine.serving.metrics import Counters


@pytest.mark.parametrize(
    'queue, sizes, kept',
    [
        (4, '....', [1, 2, 3, 4]),
        (4, '.....', [3, 4, 5]),
        (4, '......', [3, 4, 5, 6]),
        (4, '.......', [5, 6, 7]),
        (3, '....', [3, 4]),
        (3, '.........', [7, 8, 9]),
        (4, '.oooo', [2, 3, 4, 5]),  # a frame of another size is no half of a pair
        (4, 'oo.oo', [3, 4, 5]),
        (4, '...oo', [3, 4, 5]),
        (2, '...', [3]),
        (1, '...', [3]),
    ],
)
def test_the_oldest_whole_patch_is_dropped(queue: int, sizes: str, kept: list[int]) -> None:
    made, counters = intake(queue)
    put(made, sizes)
    assert drain(made) == kept
    assert counters.dropped == len(sizes) - len(kept)
    assert counters.ingested == len(kept)


@pytest.mark.parametrize(
    'taken, sizes, kept',
    [
        (1, '.....', [2, 5, 6]),  # 2 completes a patch that 1 has begun in the stream: it stays
        (2, '.....', [5, 6, 7]),
        (3, '.....', [4, 7, 8]),
        (1, 'ooooo', [4, 5, 6]),  # nothing completes 1
    ],
)
def test_the_other_half_of_a_frame_in_the_stream_is_kept(
    taken: int, sizes: str, kept: list[int]
) -> None:
    made, counters = intake(4)
    put(made, '.' * taken)
    drain(made)
    made.pending_frames = taken
    put(made, sizes, first=taken + 1)
    assert drain(made) == kept
    assert counters.dropped == 2


@pytest.mark.parametrize('pending, kept', [(0, [3, 6, 7]), (1, [5, 6, 7])])
def test_a_frame_in_hand_counts_as_in_the_stream(pending: int, kept: list[int]) -> None:
    """It comes between what is in the stream and what waits."""
    made, _ = intake(4)
    if pending:
        put(made, '.')
        drain(made)
        made.pending_frames = pending
    put(made, '.', first=2)
    frame = made.take()
    assert frame is not None and made.waiting == 1
    put(made, '.....', first=3)
    assert made.waiting == 4
    made.taken(frame, None)
    assert drain(made) == kept


@pytest.mark.parametrize(
    'held, taken, puts, kept',
    [
        (0, 0, 2, [3, 4, 5, 6]),
        (2, 0, 2, [1, 2, 5, 6]),
        (2, 1, 3, [2, 5, 6, 7]),
        (2, 2, 4, [5, 6, 7, 8]),
        (4, 0, 1, [2, 3, 4, 5]),  # nothing but what is held: the oldest goes as ever
    ],
)
def test_what_is_held_is_not_dropped(held: int, taken: int, puts: int, kept: list[int]) -> None:
    made, _ = intake(4)
    put(made, '....')
    made.hold(made.oldest(held))
    for _ in range(taken):
        made.taken(made.take(), None)
    put(made, '.' * puts, first=5)
    assert drain(made) == kept


def test_what_is_gone_is_not_held() -> None:
    """Neither frames that were dropped meanwhile, nor those of a stream that was reset."""
    made, _ = intake(4)
    put(made, '....')
    gone = made.oldest(2)
    put(made, '.', first=5)
    made.hold(gone)
    put(made, '..', first=6)
    assert [frame.stamp_ns for frame in made.oldest(9)] == [5, 6, 7]
    made.hold(made.oldest(2))
    made.begin()
    put(made, '.....', first=8)
    assert drain(made) == [10, 11, 12]


def test_a_pair_does_not_span_an_epoch() -> None:
    """A stamp that goes back begins a new stream: the frame before it stays alone."""
    made, counters = intake(4)
    put(made, '.', first=9 * SECOND)
    put(made, '....', first=1)
    assert counters.dropped == 1
    assert drain(made) == [1, 2, 3, 4]


def test_what_the_engine_refuses_is_dropped_and_said() -> None:
    """The next frame is taken again."""
    engine = VideoStreamingInference(
        random_model('grouped'), processor(), settings=StreamSettings(sample_rate=0.0, capacity=40)
    )
    made, counters = intake(8)
    for i, frame in enumerate((*random_clip(1, 3, 84, 84), *random_clip(1, 2, 56, 56))):
        made.put(frame, i + 1, '')
        assert append_next(engine, made)
    assert not append_next(engine, made)
    assert counters.ingested + counters.dropped == 5
    assert counters.dropped > 0 and 'KV cache' in counters.last_error
    assert engine.get_cache_info().frames == counters.ingested


def test_the_queue_is_bounded_in_bytes() -> None:
    """The oldest whole patches go; one frame may always wait, also one that is held back."""
    frame = 56 * 56 * 3
    counters = Counters()
    made = FrameQueue(StreamSettings(sample_rate=0.0), 99, counters, queue_bytes=4 * frame)
    put(made, '.......')
    assert drain(made) == [5, 6, 7] and counters.dropped == 4
    put(made, '....', first=10)
    stamped(made, 9 * HOUR)  # held back, which takes its bytes as well
    assert (made.waiting, len(made.oldest(9)), counters.dropped) == (3, 2, 6)
    made.begin()
    for i in range(3):
        made.put(np.zeros((560, 560, 3), np.uint8), 20 + i, '')
        assert made.waiting == 1
    assert drain(made) == [22]


def test_bounds_of_the_queue_are_given_to_the_worker() -> None:
    worker = StreamWorker(
        VideoStreamingInference(
            random_model('grouped'), processor(), settings=StreamSettings(sample_rate=0.0)
        ),
        queue_bytes=2 * 56 * 56 * 3,
    )
    for i, frame in enumerate(random_clip(1, 5, 56, 56)):
        worker.submit_frame(frame, i + 1)
    assert worker.status().frames_waiting == 1 and worker.status().frames_dropped == 4


@pytest.mark.parametrize(
    'frame_id, sentence',
    [
        ('f' * 2_000_000, 'has 2000000 characters; at most 255'),
        ('f' * 256, 'at most 255'),
        ('\ud800', 'surrogate'),
        (b'eye', 'must be a text'),
        (None, 'must be a text'),
    ],
)
def test_a_frame_id_that_cannot_be_kept_fails(frame_id: bytes | str | None, sentence: str) -> None:
    made, counters = intake(9)
    made.put(np.zeros((56, 56, 3), np.uint8), 1, frame_id)
    assert (counters.failed, made.waiting) == (1, 0)
    assert sentence in counters.last_error and len(counters.last_error) < 200
    made.put(np.zeros((56, 56, 3), np.uint8), 1, 'é' * 255)
    assert made.waiting == 1


def test_an_image_of_too_many_pixels_fails() -> None:
    made, counters = intake(9, max_image_pixels=56 * 56)
    put(made, '.o')
    assert (counters.failed, made.waiting) == (1, 1)
    assert 'is 84x56, 4704 pixels; at most 3136 are taken (max_image' in counters.last_error
