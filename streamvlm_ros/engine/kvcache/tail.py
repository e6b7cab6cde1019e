# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A branch's own keys and values; their memory grows with them."""

from __future__ import annotations

from collections.abc import Sequence
import functools

import torch

from streamvlm_ros.engine.kvcache.allocator import Spans
from streamvlm_ros.engine.kvcache.buffer import KVBuffer
from streamvlm_ros.engine.ops.attention import KeysValues

# A tail grows by at least this many tokens, and by half of its length.
BLOCK = 32


class Tail:
    """Keys and values [kv_heads, length, head_dim] a layer, which grow as they are written.

    Growing copies what is there into a buffer half as large again, so that a token is copied at
    most two times on average and no more than a third of the memory is unused, one block apart.

    Attributes:
        length: tokens written.
        kv_heads: heads of keys and of values.
        buffer: where they are.

    """

    def __init__(
        self, kv_heads: int, head_dim: int, dtype: torch.dtype, devices: Sequence[torch.device]
    ) -> None:
        """Begin empty; ``devices`` has one entry a layer."""
        self.kv_heads = kv_heads
        self._new = functools.partial(KVBuffer, kv_heads, head_dim, dtype=dtype, devices=devices)
        self.buffer = self._new(0)
        self.length = 0

    @property
    def capacity(self) -> int:
        """Tokens that fit without growing."""
        return self.buffer.slots

    @property
    def memory_bytes(self) -> int:
        """Bytes that the buffers take."""
        return self.buffer.nbytes

    def following(self, tokens: int) -> Spans:
        """Return the slots of the next tokens."""
        return ((self.length, self.length + tokens),)

    def reserve(self, tokens: int) -> None:
        """Make room for more tokens.

        Raises:
            torch.OutOfMemoryError: the device has none left; what was written stays.

        """
        needed = self.length + tokens
        if needed <= self.capacity:
            return
        size = needed if not self.length else max(needed, self.length + self.length // 2)
        grown = self._new((size + BLOCK - 1) // BLOCK * BLOCK)
        if self.length:
            grown.copy_from(self.buffer, self.length)
        self.buffer = grown

    def write(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> KeysValues:
        """Write [kv_heads, n, head_dim] after the ``length`` tokens; return all of them."""
        end = self.length + keys.shape[1]
        self.buffer.keys[layer][:, self.length : end] = keys
        self.buffer.values[layer][:, self.length : end] = values
        return self.view(layer, 0, end)

    def advance(self, tokens: int) -> None:
        """Count written tokens in."""
        self.length += tokens

    def truncate(self, length: int) -> None:
        """Forget what comes after the first ``length`` tokens; the memory stays."""
        self.length = min(self.length, length)

    def view(self, layer: int, start: int, end: int) -> KeysValues:
        """Return keys and values [kv_heads, end - start, head_dim], not copied."""
        return self.buffer.keys[layer][:, start:end], self.buffer.values[layer][:, start:end]

    def free(self) -> None:
        """Give the memory back; the tail is empty then."""
        self.length = 0
        self.buffer = self._new(0)
