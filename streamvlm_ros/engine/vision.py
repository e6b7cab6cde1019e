# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The chunk's ViT: windows of one size in one attention call, no loop over windows.

Qwen2.5-VL's ViT never mixes temporal patches, so a chunk's output is the whole video's, cut.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import torch
from torch.nn import functional

from streamvlm_ros.engine.mrope import rotate
from streamvlm_ros.engine.positions import Grid


@dataclasses.dataclass(frozen=True)
class WindowPlan:
    """How one temporal patch's tokens are ordered: windows of the same size side by side.

    Attributes:
        order: int64 [h * w], merged tokens in window order.
        groups: (windows, patches in each) for every window size, in that order.
        rows: int64 [patches], each patch's row, in window order.
        columns: likewise its column.

    """

    order: torch.Tensor
    groups: tuple[tuple[int, int], ...]
    rows: torch.Tensor
    columns: torch.Tensor


@functools.lru_cache(maxsize=32)
@torch.inference_mode(False)
def plan_windows(rows: int, columns: int, window: int, merge: int) -> WindowPlan:
    """Plan a merged grid of rows x columns with windows of ``window`` merged tokens a side."""
    token = torch.arange(rows * columns).view(rows, columns)
    by_size: dict[int, list[torch.Tensor]] = {}
    for top in range(0, rows, window):
        for left in range(0, columns, window):
            tile = token[top:top + window, left:left + window].reshape(-1)
            by_size.setdefault(tile.numel(), []).append(tile)
    order = torch.cat([tile for tiles in by_size.values() for tile in tiles])
    unit = merge * merge
    groups = tuple((len(tiles), size * unit) for size, tiles in by_size.items())
    inner = torch.arange(unit)
    patch_rows = (order // columns)[:, None] * merge + inner // merge
    patch_columns = (order % columns)[:, None] * merge + inner % merge
    return WindowPlan(order, groups, patch_rows.reshape(-1), patch_columns.reshape(-1))


def encode_video(visual: Any, patches: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Encode temporal patches of one size.

    Args:
        visual: stock ``Qwen2_5_VisionTransformerPretrainedModel``.
        patches: [t * h * w * merge^2, channels * 2 * patch^2] as the stock processor orders them.
        grid: merged grid (t, h, w).

    Returns:
        Embeddings [t * h * w, out_hidden_size] in reading order.

    """
    weight = visual.patch_embed.proj.weight
    merge = visual.spatial_merge_size
    window = visual.window_size // merge // visual.patch_size
    plan = plan_windows(grid.h, grid.w, window, merge)
    order = plan.order.to(patches.device)
    x = functional.linear(patches.to(weight.dtype), weight.flatten(1))
    x = x.view(grid.t, grid.h * grid.w, merge * merge, -1)[:, order].flatten(1, 2)
    cos, sin = _rotary(visual, plan, patches.device)
    for index, block in enumerate(visual.blocks):
        full = index in visual.fullatt_block_indexes
        groups = ((1, x.shape[1]),) if full else plan.groups
        x = x + _attention(block.attn, block.norm1(x), cos, sin, groups)
        x = x + block.mlp(block.norm2(x))
    merged = visual.merger(x.flatten(0, 1)).view(grid.t, grid.h * grid.w, -1)
    result = torch.empty_like(merged)
    result[:, order] = merged
    return result.flatten(0, 1)


def _rotary(visual: Any, plan: WindowPlan,
            device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    inv_freq = visual.rotary_pos_emb.inv_freq.to(device).float()
    angles = torch.cat([axis.to(device)[:, None].float() * inv_freq
                        for axis in (plan.rows, plan.columns)], dim=-1)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def _attention(attention: Any, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor,
               groups: tuple[tuple[int, int], ...]) -> torch.Tensor:
    """Attend inside windows; x is [t, patches, hidden], groups are slices of the patches."""
    t, patches, hidden = x.shape
    query, key, value = attention.qkv(x).view(t, patches, 3, attention.num_heads, -1).unbind(2)
    query, key = (rotate(y.transpose(1, 2).float(), cos, sin).to(x.dtype).transpose(1, 2)
                  for y in (query, key))
    pieces = []
    start = 0
    for windows, size in groups:
        end = start + windows * size
        q, k, v = (y[:, start:end].reshape(t * windows, size, attention.num_heads, -1)
                   .transpose(1, 2) for y in (query, key, value))
        pieces.append(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
                      .reshape(t, windows * size, hidden))
        start = end
    return attention.proj(torch.cat(pieces, dim=1))
