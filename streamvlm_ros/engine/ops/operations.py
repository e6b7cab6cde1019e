# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The operations that decoder layers and ViT blocks consist of.

``TorchOperations`` runs everywhere and is the reference; ``kernels.operations.KernelOperations``
computes the same with fewer passes over memory.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import Protocol

import torch
from torch.nn import functional

from streamvlm_ros.engine.ops.quantization import QuantizedWeight
from streamvlm_ros.engine.ops.rotary import rotate, split_heads
from streamvlm_ros.engine.ops.weights import Weight


class Operations(Protocol):
    """x is [rows, depth], a weight [columns, depth]; results have the dtype of x.

    Attributes:
        compiled: they are Triton kernels, next to which other Triton kernels can run.

    """

    compiled: bool

    def norm_linear(
        self,
        x: torch.Tensor,
        norm: torch.Tensor,
        epsilon: float,
        weight: Weight,
        bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return RMSNorm(x) @ weight.T + bias."""

    def norm_gated(
        self, x: torch.Tensor, norm: torch.Tensor, epsilon: float, gate_up: Weight
    ) -> torch.Tensor:
        """Return silu(n @ gate.T) * (n @ up.T) for n = RMSNorm(x)."""

    def norm_heads(
        self,
        qkv: torch.Tensor,
        heads: int,
        query_norm: torch.Tensor,
        key_norm: torch.Tensor,
        epsilon: float,
    ) -> torch.Tensor:
        """Return queries, keys and values with RMSNorm on every head of queries and of keys.

        ``qkv`` is [n, (heads + 2 kv_heads) width], a norm [width].
        """

    def add_linear(
        self,
        hidden: torch.Tensor,
        x: torch.Tensor,
        weight: Weight,
    ) -> torch.Tensor:
        """Return hidden + x @ weight.T; hidden itself may be overwritten."""

    def add(
        self,
        hidden: torch.Tensor,
        delta: torch.Tensor,
        norm: torch.Tensor,
        epsilon: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return hidden + delta and its RMSNorm; hidden itself may be overwritten."""

    def gate(self, x: torch.Tensor) -> torch.Tensor:
        """Return silu(first half of the columns) * second half."""

    def split_rotated(
        self, qkv: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, heads: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return queries and keys, rotated, and values [rows, heads, width].

        ``qkv`` is [rows, 3 heads width], cosine and sine float32 [rows, width / 2].
        """


class TorchOperations:
    """See ``Operations``."""

    compiled = False

    def norm_linear(
        self,
        x: torch.Tensor,
        norm: torch.Tensor,
        epsilon: float,
        weight: Weight,
        bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """See ``Operations``."""
        return _linear(rms_norm(x, norm, epsilon), weight, bias)

    def norm_gated(
        self, x: torch.Tensor, norm: torch.Tensor, epsilon: float, gate_up: Weight
    ) -> torch.Tensor:
        """See ``Operations``."""
        return self.gate(self.norm_linear(x, norm, epsilon, gate_up))

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
        query, key = rms_norm(query, query_norm, epsilon), rms_norm(key, key_norm, epsilon)
        return torch.cat([query, key, value], dim=1).flatten(1)

    def add_linear(
        self,
        hidden: torch.Tensor,
        x: torch.Tensor,
        weight: Weight,
    ) -> torch.Tensor:
        """See ``Operations``."""
        return hidden + _linear(x, weight)

    def add(
        self,
        hidden: torch.Tensor,
        delta: torch.Tensor,
        norm: torch.Tensor,
        epsilon: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See ``Operations``."""
        hidden = hidden + delta
        return hidden, rms_norm(hidden, norm, epsilon)

    def gate(self, x: torch.Tensor) -> torch.Tensor:
        """See ``Operations``."""
        first, second = x.chunk(2, dim=-1)
        return functional.silu(first) * second

    def split_rotated(
        self, qkv: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, heads: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """See ``Operations``."""
        query, key, value = qkv.view(len(qkv), 3, heads, -1).unbind(1)
        cos, sin = cos[:, None], sin[:, None]
        return rotate(query, cos, sin), rotate(key, cos, sin), value


TORCH = TorchOperations()


@functools.cache
def has_triton() -> bool:
    """Tell whether kernels can be compiled here."""
    return importlib.util.find_spec('triton') is not None


def operations_for(tensor: torch.Tensor) -> Operations:
    """Return the fastest operations for a tensor like this; kernels are for half precision."""
    half = tensor.dtype in (torch.bfloat16, torch.float16)
    if tensor.is_cuda and half and has_triton():
        from streamvlm_ros.engine.ops.kernels.operations import KERNELS

        return KERNELS
    return TORCH


def _linear(x: torch.Tensor, weight: Weight, bias: torch.Tensor | None = None) -> torch.Tensor:
    if isinstance(weight, QuantizedWeight):
        weight = weight.dequantized(x.dtype)
    return functional.linear(x, weight, bias)


def rms_norm(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Return RMSNorm (arXiv 1910.07467) over the last axis, rounded as transformers does."""
    wide = x.float()
    normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
    return weight * normed.to(x.dtype)
