# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Snapshots of a cache: which entries it had, and the position state."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import torch

from streamvlm_ros.engine.kvcache.cache import StreamCache
from streamvlm_ros.engine.kvcache.entries import CacheEntry
from streamvlm_ros.engine.positions import StreamState


class StateOwner(Protocol):
    """What the cache manager needs of a model."""

    stream_state: StreamState


@dataclasses.dataclass(frozen=True)
class _Snapshot:
    entries: tuple[CacheEntry, ...]
    rebased: int
    state: StreamState


class KVCacheManager:
    """Snapshots of a cache.  One is a list of entries and a position state: no byte is copied.

    Snapshots are a stack: ``restore`` goes back to the newest one and removes it, and is refused
    when none is left.  It is also refused when something that the snapshot saw was evicted since,
    or moved to other positions; the stream then stays as it is.
    """

    def __init__(self, cache: StreamCache | None = None) -> None:
        """Manage a cache; without one, assign what the first ``forward`` returns."""
        self.cache = cache
        self._snapshots: list[_Snapshot] = []

    def snapshot(self, model: StateOwner) -> None:
        """Remember the stream as it stands.

        Raises:
            RuntimeError: there is no cache yet.

        """
        cache = self._existing()
        self._snapshots.append(_Snapshot(cache.entries, cache.rebased, model.stream_state))

    def restore(self, model: StateOwner) -> None:
        """Go back to the newest snapshot, and remove it.

        Raises:
            RuntimeError: there is no snapshot, or entries that it saw were evicted or moved.

        """
        if not self._snapshots:
            raise RuntimeError('There is no snapshot to restore; call snapshot() first.')
        cache, snapshot = self._existing(), self._snapshots.pop()
        if not set(snapshot.entries) <= set(cache.entries):
            raise RuntimeError(
                'Part of what the snapshot saw has been evicted since; take '
                'snapshots more often, or give the stream more memory.'
            )
        if snapshot.rebased != cache.rebased:
            raise RuntimeError(
                'The stream was moved to other positions since the snapshot; take '
                'snapshots more often.'
            )
        cache.drop(set(cache.entries) - set(snapshot.entries))
        model.stream_state = snapshot.state

    @staticmethod
    def clone(cache: StreamCache) -> StreamCache:
        """Return a real copy, independent of the original."""
        copy = StreamCache(
            cache.keys[0].shape[0],
            cache.keys[0].shape[2],
            cache.capacity,
            cache.keys[0].dtype,
            [buffer.device for buffer in cache.keys],
        )
        copy.fill([cache.content(layer) for layer in range(len(cache.keys))], cache.entries)
        return copy

    def build_full_attention_mask(self, new_mask: torch.Tensor) -> torch.Tensor:
        """Put ones for what is cached before the mask of new tokens.

        Args:
            new_mask: [batch, n].

        Returns:
            [batch, cached + n], same dtype and device.

        """
        cached = 0 if self.cache is None else self.cache.length
        return torch.cat([new_mask.new_ones(new_mask.shape[0], cached), new_mask], dim=1)

    def clear(self) -> None:
        """Empty the cache and forget all snapshots; the buffers stay allocated."""
        self._snapshots.clear()
        if self.cache is not None:
            self.cache.clear()

    def _existing(self) -> StreamCache:
        if self.cache is None:
            raise RuntimeError('There is no cache yet; assign the one that forward() returned.')
        return self.cache
