# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The cache's life: snapshots that copy nothing, and a manager that nests them."""

from __future__ import annotations

from typing import Any

import pytest
from support.models.random_models import processor, random_clip, random_model
import torch

from streamvlm_ros.engine import (
    ErrorCode,
    KVCacheManager,
    StreamError,
    StreamSettings,
    VideoStreamingInference,
)


def prefilled(tokens: int = 5):
    """Return a model and a manager over its cache of a few text tokens."""
    model = random_model('grouped')
    model.reset_stream_state()
    manager = KVCacheManager()
    manager.cache = model(torch.arange(10, 10 + tokens)[None]).past_key_values
    return model, manager


def content(cache: Any) -> list[torch.Tensor]:
    """Return a copy of what is cached."""
    return [buffer[:, : cache.length].clone() for buffer in (*cache.keys, *cache.values)]


def test_snapshot_and_restore_move_no_bytes() -> None:
    """Buffers stay where they are, and what was cached stays as it was."""
    model, manager = prefilled()
    cache, state = manager.cache, model.stream_state
    before, places = content(cache), [buffer.data_ptr() for buffer in cache.keys]
    manager.snapshot(model)
    model(torch.arange(50, 57)[None], past_key_values=cache)
    assert cache.length == 12
    manager.restore(model)
    assert (cache.length, model.stream_state) == (5, state)
    assert [buffer.data_ptr() for buffer in cache.keys] == places
    assert all(torch.equal(a, b) for a, b in zip(before, content(cache)))


def test_snapshots_nest_and_end() -> None:
    """Restoring goes outwards; without a snapshot left it is refused."""
    model, manager = prefilled()
    lengths = []
    for tokens in (3, 2):
        manager.snapshot(model)
        lengths.append(manager.cache.length)
        model(torch.arange(tokens)[None], past_key_values=manager.cache)
    for length in reversed(lengths):
        manager.restore(model)
        assert manager.cache.length == model.stream_state.length == length
    with pytest.raises(RuntimeError, match='no snapshot'):
        manager.restore(model)


def test_no_cache_no_snapshot() -> None:
    """A manager without a cache says so."""
    with pytest.raises(RuntimeError, match='no cache'):
        KVCacheManager().snapshot(random_model('grouped'))


def test_clone_is_independent() -> None:
    """A clone keeps what the original forgets."""
    _, manager = prefilled()
    clone = manager.clone(manager.cache)
    before = content(clone)
    assert all(torch.equal(a, b) for a, b in zip(before, content(manager.cache)))
    manager.cache.keys[0].zero_()
    assert all(torch.equal(a, b) for a, b in zip(before, content(clone)))


def test_clear_forgets_snapshots() -> None:
    """After clear there is nothing to restore."""
    model, manager = prefilled()
    manager.snapshot(model)
    manager.clear()
    assert manager.cache.length == 0
    with pytest.raises(RuntimeError, match='no snapshot'):
        manager.restore(model)


def test_full_mask_counts_what_is_cached() -> None:
    """Ones for the cached tokens, the given mask behind them."""
    _, manager = prefilled(3)
    mask = manager.build_full_attention_mask(torch.tensor([[1, 0]]))
    assert mask.tolist() == [[1, 1, 1, 1, 0]]
    assert KVCacheManager().build_full_attention_mask(torch.ones(1, 2)).shape == (1, 2)


def test_a_full_cache_refuses_before_it_changes() -> None:
    """What does not fit leaves length, state and bytes alone."""
    model = random_model('grouped')
    model.reset_stream_state()
    cache = model.new_cache(6)
    model(torch.arange(5)[None], past_key_values=cache)
    before, state = content(cache), model.stream_state
    with pytest.raises(StreamError, match='5 of 6 tokens') as caught:
        model(torch.arange(2)[None], past_key_values=cache)
    assert caught.value.code is ErrorCode.OUT_OF_MEMORY
    assert (cache.length, model.stream_state) == (5, state)
    assert all(torch.equal(a, b) for a, b in zip(before, content(cache)))


def evicting(capacity: int = 100):
    """Return an engine that evicts, a manager over its cache, and the owner of its state."""
    engine = VideoStreamingInference(
        random_model('grouped'),
        processor(),
        settings=StreamSettings(capacity=capacity, chunk_frames=2, rebase_position=60),
    )
    for i, frame in enumerate(random_clip(1, 10, 56, 56)):
        engine.append_frame(frame, 0.5 * i)

    class Owner:
        """Hands the stream's state out under the manager's name for it."""

        @property
        def stream_state(self):
            return engine.stream.state

        @stream_state.setter
        def stream_state(self, state: Any) -> None:
            engine.stream.state = state

    return engine, KVCacheManager(engine.stream.cache), Owner()


def test_restore_frees_what_came_since() -> None:
    """Slots of later frames are free again, and the stream goes on as if they had not come."""
    answers = []
    for detour in (False, True):
        engine, manager, owner = evicting()
        if detour:
            manager.snapshot(owner)
            free = manager.cache.free
            for frame in random_clip(2, 4, 56, 56):
                engine.append_frame(frame, 5.0)
            assert manager.cache.free < free
            manager.restore(owner)
            assert manager.cache.free == free
        engine.append_video_chunk(random_clip(3, 4, 56, 56), stamps=[6.0, 7.0, 8.0, 9.0])
        answers.append(engine.questions.choose('Which?', ('a', 'b')).choice_probabilities)
    assert answers[0] == pytest.approx(answers[1], abs=1e-6)


def test_a_snapshot_whose_frames_were_evicted_is_refused() -> None:
    """The stream stays as it is."""
    engine, manager, owner = evicting()
    manager.snapshot(owner)
    for i, frame in enumerate(random_clip(2, 20, 56, 56)):
        engine.append_frame(frame, 5 + 0.5 * i)
    entries, state = manager.cache.entries, owner.stream_state
    with pytest.raises(RuntimeError, match='has been evicted since'):
        manager.restore(owner)
    assert (manager.cache.entries, owner.stream_state) == (entries, state)
    with pytest.raises(RuntimeError, match='no snapshot'):
        manager.restore(owner)


def test_a_snapshot_from_before_rebasing_is_refused() -> None:
    """Its position state does not fit the keys any more."""
    engine, manager, owner = evicting(300)
    manager.cache.drop(engine.stream.cache.entries[1:3])
    manager.snapshot(owner)
    engine.append_video_chunk(random_clip(2, 2, 56, 56), stamps=[10.0, 11.0])
    engine.append_video_chunk(random_clip(2, 2, 56, 56), stamps=[12.0, 13.0])
    assert manager.cache.rebased == 1
    with pytest.raises(RuntimeError, match='other positions'):
        manager.restore(owner)


def test_clone_of_scattered_units() -> None:
    """A clone has the entries' content in their order, whatever slots they are in."""
    engine, manager, _ = evicting()
    for i, frame in enumerate(random_clip(2, 31, 56, 56)):
        engine.append_frame(frame, 5 + 0.5 * i)
    cache, clone = manager.cache, manager.clone(manager.cache)
    assert [span for entry in cache.entries for span in entry.spans] != list(cache.spans)
    assert clone.spans == cache.spans and len(clone.entries) == len(cache.entries)
    for layer in range(len(cache.keys)):
        for mine, its in zip(cache.content(layer), clone.content(layer)):
            assert torch.equal(mine, its)
    assert [entry.info for entry in clone.entries] == [entry.info for entry in cache.entries]
