# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Memory for the keys and values of all layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch


class KVBuffer:
    """Slots for keys and values; where all layers are on one device, one block of memory.

    One block is what kernels take: its address and its slots say where everything is.

    Attributes:
        keys: [kv_heads, slots, head_dim] a layer, a view of ``whole`` where there is one.
        values: likewise.
        slots: tokens that it has room for.
        whole: [layers, 2, kv_heads, slots, head_dim]; None where layers are on several devices.

    """

    def __init__(self, kv_heads: int, head_dim: int, slots: int, dtype: torch.dtype,
                 devices: Sequence[torch.device]) -> None:
        """Allocate; ``devices`` has one entry a layer."""
        self.slots = slots
        self.whole: torch.Tensor | None = None
        shape = (2, kv_heads, slots, head_dim)
        if len(set(devices)) == 1:
            self.whole = torch.empty((len(devices), *shape), dtype=dtype, device=devices[0])
            # Not list(): views that come together may not be written in place.
            layers = [self.whole[index] for index in range(len(devices))]
        else:
            layers = [torch.empty(shape, dtype=dtype, device=device) for device in devices]
        self.keys = [layer[0] for layer in layers]
        self.values = [layer[1] for layer in layers]

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return sum(each.nbytes for each in (*self.keys, *self.values))

    @property
    def address(self) -> tuple[int, int]:
        """Where its one block begins, and its slots."""
        assert self.whole is not None
        return self.whole.data_ptr(), self.slots

    def copy_from(self, other: KVBuffer, tokens: int) -> None:
        """Copy the first so many slots of another buffer."""
        for mine, theirs in zip((*self.keys, *self.values), (*other.keys, *other.values)):
            mine[:, :tokens] = theirs[:, :tokens]
