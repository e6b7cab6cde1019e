# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Attention inside the ViT's windows: those of one size in one call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from streamvlm_ros.engine.ops.operations import Operations

# Windows side by side, and the patches in each.
Groups = Sequence[tuple[int, int]]


def attend_windows(
    qkv: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    heads: int,
    t: int,
    groups: Groups,
    operations: Operations,
) -> torch.Tensor:
    """Rotate queries and keys, and attend inside windows.

    Args:
        qkv: [t * patches, 3 heads width], patches in window order.
        cos: float32 [t * patches, width / 2]; sin likewise.
        sin: see cos.
        heads: how many.
        t: temporal patches.
        groups: of one temporal patch, in its order.
        operations: what the block is made of.

    Returns:
        [t * patches, heads * width].

    """
    if operations.compiled:
        # Imported here because it needs Triton.
        from streamvlm_ros.engine.models.qwen2_5_vl.kernels import windows

        if max(size for _, size in groups) <= windows.MOST_PATCHES:
            return windows.attend_windows(qkv, cos, sin, heads, t, groups)
    return attend_inside(*operations.split_rotated(qkv, cos, sin, heads), t, groups)


def attend_inside(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, t: int, groups: Groups
) -> torch.Tensor:
    """Attend inside windows.

    Args:
        query: rotated [t * patches, heads, width], patches in window order.
        key: likewise.
        value: likewise.
        t: temporal patches.
        groups: of one temporal patch, in its order.

    Returns:
        [t * patches, heads * width].

    """
    parts = [x.unflatten(0, (t, -1)) for x in (query, key, value)]
    results = []
    start = 0
    for number, size in groups:
        end = start + number * size
        result = functional.scaled_dot_product_attention(
            *(
                x[:, start:end].unflatten(1, (number, size)).flatten(0, 1).transpose(1, 2)
                for x in parts
            )
        )
        results.append(result.transpose(1, 2).reshape(t, number * size, -1))
        start = end
    return torch.cat(results, dim=1).flatten(0, 1)
