# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Keys and values in buffers that are allocated once, with a length."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
from typing import Protocol, TYPE_CHECKING

import torch

from streamvlm_ros.engine.errors import ErrorCode, StreamError

if TYPE_CHECKING:
    from streamvlm_ros.engine.positions import StreamState

KeysValues = tuple[torch.Tensor, torch.Tensor]


class KVContext(Protocol):
    """Where a decoder pass writes its keys and values, and what its queries see."""

    def reserve(self, tokens: int) -> None:
        """Refuse with StreamError when so many tokens do not fit."""

    def write(self, layer: int, keys: torch.Tensor, values: torch.Tensor,
              ) -> tuple[KeysValues, KeysValues]:
        """Store new keys and values, [kv_heads, n, head_dim].

        Returns:
            What every new token sees, and the piece at whose end the new tokens stand.

        """

    def advance(self, tokens: int) -> None:
        """Make what was written part of the context."""


class StreamCache:
    """One stream's keys and values: a buffer [kv_heads, capacity, head_dim] a layer.

    Appending writes behind ``length``; what is before it never moves.
    """

    def __init__(self, kv_heads: int, head_dim: int, capacity: int, dtype: torch.dtype,
                 devices: Sequence[torch.device]) -> None:
        """Allocate buffers for ``capacity`` tokens; ``devices`` has one entry a layer."""
        shape = (kv_heads, capacity, head_dim)
        # Plain tensors even when a first forward allocates them inside inference mode.
        with torch.inference_mode(False):
            self.keys = [torch.empty(shape, dtype=dtype, device=device) for device in devices]
            self.values = [torch.empty(shape, dtype=dtype, device=device) for device in devices]
        self.length = 0

    @property
    def capacity(self) -> int:
        """Tokens that fit."""
        return self.keys[0].shape[1]

    @property
    def memory_bytes(self) -> int:
        """Bytes that the buffers take, full or not."""
        return sum(buffer.nbytes for buffer in (*self.keys, *self.values))

    def get_seq_length(self, layer: int = 0) -> int:
        """Return the tokens cached, under the name that transformers' caches use."""
        return self.length

    def reserve(self, tokens: int) -> None:
        """Refuse what does not fit, before anything is computed.

        Raises:
            StreamError: OUT_OF_MEMORY; nothing was changed.

        """
        if self.length + tokens > self.capacity:
            raise StreamError(
                ErrorCode.OUT_OF_MEMORY,
                f'The KV cache is full: {self.length} of {self.capacity} tokens are taken and '
                f'{tokens} more were to come; reset the stream or raise the capacity.')

    def write(self, layer: int, keys: torch.Tensor, values: torch.Tensor,
              ) -> tuple[KeysValues, KeysValues]:
        """Write [kv_heads, n, head_dim] behind the length; see ``KVContext.write``."""
        start, end = self.length, self.length + keys.shape[1]
        key_buffer, value_buffer = self.keys[layer], self.values[layer]
        key_buffer[:, start:end] = keys
        value_buffer[:, start:end] = values
        return self.view(layer, 0, start), self.view(layer, start, end)

    def advance(self, tokens: int) -> None:
        """Count written tokens in."""
        self.length += tokens

    def view(self, layer: int, start: int, end: int) -> KeysValues:
        """Return keys and values [kv_heads, end - start, head_dim], not copied."""
        return self.keys[layer][:, start:end], self.values[layer][:, start:end]

    def extend(self, other: StreamCache) -> None:
        """Copy another cache's tokens behind this one's.

        Raises:
            StreamError: OUT_OF_MEMORY; nothing was changed.

        """
        self.reserve(other.length)
        for layer in range(len(self.keys)):
            self.write(layer, *other.view(layer, 0, other.length))
        self.advance(other.length)


class StateOwner(Protocol):
    """What the cache manager needs of a model."""

    stream_state: StreamState


@dataclasses.dataclass(frozen=True)
class _Snapshot:
    length: int
    state: StreamState


class KVCacheManager:
    """The KV cache's life.  A snapshot is a length and a position state: no byte is copied.

    Snapshots nest like brackets: ``restore`` goes back to the newest one and takes it off, so a
    second ``restore`` goes to the one before it, and without any left it is refused.
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
        self._snapshots.append(_Snapshot(self._existing().length, model.stream_state))

    def restore(self, model: StateOwner) -> None:
        """Go back to the newest snapshot, and take it off.

        Raises:
            RuntimeError: there is no snapshot to go back to.

        """
        if not self._snapshots:
            raise RuntimeError('There is no snapshot to restore; call snapshot() first.')
        snapshot = self._snapshots.pop()
        self._existing().length = snapshot.length
        model.stream_state = snapshot.state

    @staticmethod
    def clone(cache: StreamCache) -> StreamCache:
        """Return a real copy, independent of the original."""
        copy = StreamCache(cache.keys[0].shape[0], cache.keys[0].shape[2], cache.capacity,
                           cache.keys[0].dtype, [buffer.device for buffer in cache.keys])
        copy.extend(cache)
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
            self.cache.length = 0

    def _existing(self) -> StreamCache:
        if self.cache is None:
            raise RuntimeError('There is no cache yet; assign the one that forward() returned.')
        return self.cache
