# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The operations of decoder layers and ViT blocks, as kernels."""

from __future__ import annotations

import torch
from torch.nn import functional

from streamvlm_ros.engine.ops.kernels.dequantize import widen
from streamvlm_ros.engine.ops.kernels.matmul.rows import MOST_ROWS, skinny_matmul
from streamvlm_ros.engine.ops.kernels.pointwise import gate, rms_norm, rotate_vision
from streamvlm_ros.engine.ops.quantization import QuantizedWeight
from streamvlm_ros.engine.ops.rotary import split_heads
from streamvlm_ros.engine.ops.weights import Weight


class KernelOperations:
    """See ``operations.Operations``.  Few rows go through kernels that read the weights once."""

    compiled = True

    def norm_linear(
        self,
        x: torch.Tensor,
        norm: torch.Tensor,
        epsilon: float,
        weight: Weight,
        bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """See ``Operations``."""
        if len(x) == 1:
            return skinny_matmul(x, weight, bias=bias, norm=norm, epsilon=epsilon)
        # Several rows: otherwise each program would compute the norm of all of them again.
        normed = rms_norm(x, norm, epsilon)
        if len(x) <= MOST_ROWS:
            return skinny_matmul(normed, weight, bias=bias)
        return functional.linear(normed, _wide(weight, x.dtype), bias)

    def norm_gated(
        self, x: torch.Tensor, norm: torch.Tensor, epsilon: float, gate_up: Weight
    ) -> torch.Tensor:
        """See ``Operations``."""
        if len(x) == 1:
            return skinny_matmul(x, gate_up, norm=norm, epsilon=epsilon, gated=True)
        if len(x) <= MOST_ROWS:
            return skinny_matmul(rms_norm(x, norm, epsilon), gate_up, gated=True)
        return gate(self.norm_linear(x, norm, epsilon, gate_up))

    def norm_heads(
        self,
        qkv: torch.Tensor,
        heads: int,
        query_norm: torch.Tensor,
        key_norm: torch.Tensor,
        epsilon: float,
    ) -> torch.Tensor:
        """See ``Operations``."""
        query, key, value = split_heads(qkv, heads, len(query_norm))
        normed = [
            rms_norm(part.flatten(0, 1), norm, epsilon).view_as(part)
            for part, norm in ((query, query_norm), (key, key_norm))
        ]
        return torch.cat([*normed, value], dim=1).flatten(1)

    def add_linear(
        self,
        hidden: torch.Tensor,
        x: torch.Tensor,
        weight: Weight,
    ) -> torch.Tensor:
        """See ``Operations``."""
        if len(x) <= MOST_ROWS:
            return skinny_matmul(x, weight, residual=hidden)
        return hidden.addmm_(x, _wide(weight, x.dtype).T)

    def add(
        self,
        hidden: torch.Tensor,
        delta: torch.Tensor,
        norm: torch.Tensor,
        epsilon: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See ``Operations``."""
        return hidden, rms_norm(hidden, norm, epsilon, delta)

    def gate(self, x: torch.Tensor) -> torch.Tensor:
        """See ``Operations``."""
        return gate(x)

    def split_rotated(
        self, qkv: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, heads: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """See ``Operations``."""
        return rotate_vision(qkv, cos, sin, heads)


def _wide(weight: Weight, dtype: torch.dtype) -> torch.Tensor:
    return widen(weight, dtype) if isinstance(weight, QuantizedWeight) else weight


KERNELS = KernelOperations()
