# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Snapshots of a cache: which entries it had, and the position state of a model."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol, runtime_checkable

import torch

from streamvlm_ros.engine.errors import StreamError
from streamvlm_ros.engine.kvcache.cache import StreamCache
from streamvlm_ros.engine.kvcache.entries import CacheEntry
from streamvlm_ros.engine.positions import StreamState

MEND = 'Take snapshots more often, or give the stream more memory.'


class StateOwner(Protocol):
    """What the cache manager needs of a model."""

    stream_state: StreamState


@runtime_checkable
class WholeOwner(Protocol):
    """What the cache manager needs of a whole stream, such as ``VideoStreamingInference``."""

    def snapshot(self) -> object:
        """Return the stream as it stands."""

    def restore(self, snapshot: Any) -> None:
        """Go back to a snapshot; raise StreamError if that is impossible."""


@dataclasses.dataclass(frozen=True)
class CacheMark:
    """What was cached at a moment.  No byte is copied.

    Attributes:
        entries, rebased, taken: of the cache.

    """

    entries: tuple[CacheEntry, ...]
    rebased: int
    taken: int

    @classmethod
    def of(cls, cache: StreamCache) -> CacheMark:
        """Remember what is cached now."""
        return cls(cache.entries, cache.rebased, cache.taken)

    def fault(self, cache: StreamCache) -> str:
        """Return why the cache cannot go back here; empty: it can."""
        if not set(self.entries) <= set(cache.entries):
            return 'part of what it saw has been evicted since, or the stream was reset'
        if self.rebased != cache.rebased:
            return 'the stream was moved to other positions since'
        return ''

    def go_back(self, cache: StreamCache) -> None:
        """Drop what came since; what follows is cached as if that had never come."""
        cache.drop(set(cache.entries) - set(self.entries))
        cache.taken = self.taken


class KVCacheManager:
    """Snapshots of a cache.  One is a list of entries and a position state: no byte is copied.

    Snapshots are a stack: ``restore`` goes back to the newest one and removes it, and is refused
    when none is left.  It is also refused when something that the snapshot saw was evicted since,
    or moved to other positions; the stream then stays as it is.

    Of a model, a snapshot is what is cached and the model's position state.  Of a
    ``VideoStreamingInference`` it is all of its state, as its own ``snapshot`` has it.
    """

    def __init__(self, cache: StreamCache | None = None) -> None:
        """Manage a cache; without one, assign what the first ``forward`` returns.

        For snapshots of a ``VideoStreamingInference`` none is needed.
        """
        self.cache = cache
        self._snapshots: list[object] = []

    def snapshot(self, owner: StateOwner | WholeOwner) -> None:
        """Remember the stream of a model, or of a ``VideoStreamingInference``, as it stands.

        Raises:
            RuntimeError: there is no cache yet.

        """
        if isinstance(owner, WholeOwner):
            self._snapshots.append(owner.snapshot())
        else:
            self._snapshots.append((CacheMark.of(self._existing()), owner.stream_state))

    def restore(self, owner: StateOwner | WholeOwner) -> None:
        """Go back to the newest snapshot, and remove it.

        Raises:
            RuntimeError: there is no snapshot, it is of another stream, or what it saw was
                evicted or moved.

        """
        if not self._snapshots:
            raise RuntimeError('There is no snapshot to restore; call snapshot() first.')
        snapshot = self._snapshots.pop()
        if isinstance(owner, WholeOwner):
            try:
                owner.restore(snapshot)
            except StreamError as error:
                raise RuntimeError(str(error)) from error
            return
        if not isinstance(snapshot, tuple):
            raise RuntimeError('The newest snapshot is of a whole stream; restore it to that.')
        mark, state = snapshot
        cache = self._existing()
        fault = mark.fault(cache)
        if fault:
            raise RuntimeError(f'The snapshot cannot be restored: {fault}. {MEND}')
        mark.go_back(cache)
        owner.stream_state = state

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
