# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Attention inside windows, as the ViT's blocks have it: those of one size in one call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

# Windows side by side, and the patches in each.
Groups = Sequence[tuple[int, int]]


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
    for windows, size in groups:
        end = start + windows * size
        result = functional.scaled_dot_product_attention(
            *(
                x[:, start:end].unflatten(1, (windows, size)).flatten(0, 1).transpose(1, 2)
                for x in parts
            )
        )
        results.append(result.transpose(1, 2).reshape(t, windows * size, -1))
        start = end
    return torch.cat(results, dim=1).flatten(0, 1)
