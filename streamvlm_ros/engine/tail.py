# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A branch's own keys and values: memory for what is there, not for what might come."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from streamvlm_ros.engine.attention import KeysValues

# A tail grows by at least so many tokens, and by a half of what it has.
BLOCK = 32


class Tail:
    """Keys and values [kv_heads, length, head_dim] a layer, which grow as they are written.

    Growing copies what is there into a buffer half as large again, so that a token is copied at
    most two times on average and no more than a third of the memory is unused, one block apart.

    Attributes:
        length: tokens written.

    """

    def __init__(self, kv_heads: int, head_dim: int, dtype: torch.dtype,
                 devices: Sequence[torch.device]) -> None:
        """Begin empty; ``devices`` has one entry a layer."""
        empty = [torch.empty((kv_heads, 0, head_dim), dtype=dtype, device=device)
                 for device in devices]
        self._keys, self._values = empty, list(empty)
        self.length = 0

    @property
    def capacity(self) -> int:
        """Tokens that fit without growing."""
        # The last layer grows last.
        return self._values[-1].shape[1]

    @property
    def memory_bytes(self) -> int:
        """Bytes that the buffers take."""
        return sum(buffer.nbytes for buffer in (*self._keys, *self._values))

    def reserve(self, tokens: int) -> None:
        """Make room for more tokens.

        Raises:
            torch.OutOfMemoryError: the device has none left; what was written stays.

        """
        needed = self.length + tokens
        if needed <= self.capacity:
            return
        size = needed if not self.length else max(needed, self.length + self.length // 2)
        size = (size + BLOCK - 1) // BLOCK * BLOCK
        for buffers in (self._keys, self._values):
            for layer, old in enumerate(buffers):
                grown = old.new_empty((old.shape[0], size, old.shape[2]))
                grown[:, :self.length] = old[:, :self.length]
                buffers[layer] = grown

    def write(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> KeysValues:
        """Write [kv_heads, n, head_dim] behind the length; return all up to there."""
        end = self.length + keys.shape[1]
        self._keys[layer][:, self.length:end] = keys
        self._values[layer][:, self.length:end] = values
        return self.view(layer, 0, end)

    def advance(self, tokens: int) -> None:
        """Count written tokens in."""
        self.length += tokens

    def view(self, layer: int, start: int, end: int) -> KeysValues:
        """Return keys and values [kv_heads, end - start, head_dim], not copied."""
        return self._keys[layer][:, start:end], self._values[layer][:, start:end]

    def free(self) -> None:
        """Give the memory back; the tail is empty then."""
        self.length = 0
        for buffers in (self._keys, self._values):
            for layer, old in enumerate(buffers):
                buffers[layer] = old.new_empty((old.shape[0], 0, old.shape[2]))
