# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bounded memory: answers equal one forward over the history, masked by what was gone."""

from __future__ import annotations

import gc

import pytest
from support.reference.forward import forward, stock_forward
from support.reference.play import run_case
from support.streams import clip, stream
from support.whole import sampled
import torch

from streamvlm_ros.engine.kvcache.entries import EntryKind


@pytest.mark.parametrize('seed', sampled(range(30), 12))
def test_answers_equal_the_masked_history(seed: int) -> None:
    """Both modes, all shapes: what was evicted before a query came is what it does not see."""
    reference, answers = run_case(seed)
    assert answers and reference.evicted
    assert (forward(reference) - stock_forward(reference)).abs().max() < 1e-4


def tensor_bytes() -> int:
    """Return the bytes of all tensors that are alive."""
    gc.collect()
    return sum(
        thing.untyped_storage().nbytes()
        for thing in gc.get_objects()
        if issubclass(type(thing), torch.Tensor)
    )


def test_memory_is_flat() -> None:
    """A few thousand chunks later nothing has grown: tensors, entries, spans, positions."""
    engine = stream(capacity=140, chunk_frames=2, rebase_position=200)
    cache, frames = engine.stream.cache, clip(1, 16)
    sizes = {}
    for i in range(4000):
        engine.append_frame(frames[i % 16], 0.25 * i)
        if i % 400 == 399:
            engine.ask('What?', 1, update_state=i % 800 == 799)
        if i in (1500, 3998):
            sizes[i] = tensor_bytes()
        assert len(cache.entries) < 40 and len(cache.spans) <= 5
        assert engine.stream.state.last_cache_position <= 210
    assert sizes[1500] == pytest.approx(sizes[3998], rel=0.01)
    info = engine.get_cache_info()
    assert info.evicted_tokens > 4000 and info.tokens <= 123
    assert cache.free + cache.length == 140


def test_seconds_keep_what_was_in_sight() -> None:
    """A patch lasts until the next one: the window is covered, and nothing before it is kept."""
    engine = stream(capacity=2000, chunk_frames=2, memory_seconds=5.0)
    for i, frame in enumerate(clip(1, 60)):
        engine.append_frame(frame, 0.5 * i)
    info = engine.get_cache_info()
    assert (info.oldest_stamp_ns, info.stamp_ns) == (24 * 10**9, round(29.5 * 10**9))
    assert info.frames == 12
    # After a minute's pause only the patch that was last seen in it is left of what was before.
    for i, frame in enumerate(clip(2, 2)):
        engine.append_frame(frame, 90 + 0.5 * i)
    assert engine.get_cache_info().oldest_stamp_ns == 29 * 10**9


def test_only_the_newest_turns_are_kept() -> None:
    """The oldest turn goes with what leads from it to the next."""
    engine = stream(capacity=4000, kept_turns=2)
    for i in range(4):
        engine.append_video_chunk(clip(i, 4), stamps=[4.0 * i + j for j in range(4)])
        engine.ask(f'Question {i}?', 2, update_state=True)
    turns = [
        entry.info.group
        for entry in engine.stream.cache.entries
        if entry.info.kind is EntryKind.TURN
    ]
    assert sorted(set(turns)) == [2, 3]
    assert engine.get_cache_info().frames == 16
