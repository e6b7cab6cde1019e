# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Memory for the keys and values of all layers."""

from __future__ import annotations

from collections.abc import Sequence
import functools

import torch

from streamvlm_ros.engine.kvcache.allocator import Spans
from streamvlm_ros.engine.ops.attention import KeysValues


class KVBuffer:
    """Slots for keys and values; where all layers are on one device, one block of memory.

    Kernels take one block: its address and its number of slots say where everything is.

    Attributes:
        slots: tokens that it has room for.
        whole: [layers, 2, kv_heads, slots, head_dim]; None where layers are on several devices.

    """

    def __init__(
        self,
        kv_heads: int,
        head_dim: int,
        slots: int,
        dtype: torch.dtype,
        devices: Sequence[torch.device],
    ) -> None:
        """Allocate; ``devices`` has one entry a layer."""
        self.slots = slots
        self.whole: torch.Tensor | None = None
        shape = (2, kv_heads, slots, head_dim)
        if len(set(devices)) == 1:
            self.whole = torch.empty((len(devices), *shape), dtype=dtype, device=devices[0])
        else:
            self._layers = [torch.empty(shape, dtype=dtype, device=device) for device in devices]

    @functools.cached_property
    def keys(self) -> list[torch.Tensor]:
        """Keys [kv_heads, slots, head_dim] a layer."""
        return [layer[0] for layer in self._each()]

    @functools.cached_property
    def values(self) -> list[torch.Tensor]:
        """Values [kv_heads, slots, head_dim] a layer."""
        return [layer[1] for layer in self._each()]

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return sum(block.nbytes for block in self._blocks())

    @property
    def address(self) -> tuple[int, int]:
        """Where its one block begins, and its slots."""
        assert self.whole is not None
        return self.whole.data_ptr(), self.slots

    def views(self, layer: int, spans: Spans) -> list[KeysValues]:
        """Return keys and values [kv_heads, s, head_dim], span by span, not copied."""
        keys, values = self.keys[layer], self.values[layer]
        return [(keys[:, start:end], values[:, start:end]) for start, end in spans]

    def copy_from(self, other: KVBuffer, tokens: int) -> None:
        """Copy the first ``tokens`` slots of another buffer."""
        for mine, theirs in zip(self._blocks(), other._blocks()):
            mine[..., :tokens, :] = theirs[..., :tokens, :]

    def _blocks(self) -> list[torch.Tensor]:
        return self._layers if self.whole is None else [self.whole]

    def _each(self) -> list[torch.Tensor]:
        if self.whole is None:
            return self._layers
        # Not list(): views that come together may not be written in place.
        return [self.whole[index] for index in range(len(self.whole))]
