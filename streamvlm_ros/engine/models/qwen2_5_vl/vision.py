# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The chunk's ViT: windows of one size in one attention call, no loop over windows.

Qwen2.5-VL's ViT never mixes temporal patches, so a chunk's output is the whole video's, cut.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import functools
from typing import Any

import torch
from torch.nn import functional

from streamvlm_ros.engine.models.qwen2_5_vl.weights import VisionWeights
from streamvlm_ros.engine.ops.operations import Operations, rms_norm, TORCH
from streamvlm_ros.engine.positions import Grid

# Windows side by side, and the patches in each.
Groups = Sequence[tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class WindowPlan:
    """How one temporal patch's tokens are ordered: windows of the same size side by side.

    Attributes:
        order: int64 [h * w], merged tokens in window order.
        groups: (windows, patches in each) for every window size, in that order.
        rows: int64 [patches], each patch's row, in window order.
        columns: likewise its column.
        place: int64 [h * w], where each merged token of the reading order stands in ``order``.

    """

    order: torch.Tensor
    groups: tuple[tuple[int, int], ...]
    rows: torch.Tensor
    columns: torch.Tensor
    place: torch.Tensor

    def to(self, device: torch.device) -> WindowPlan:
        """Return it on a device."""
        return WindowPlan(
            self.order.to(device),
            self.groups,
            self.rows.to(device),
            self.columns.to(device),
            self.place.to(device),
        )


@functools.lru_cache(maxsize=32)
@torch.inference_mode(False)
def plan_on(device: torch.device, rows: int, columns: int, window: int, merge: int) -> WindowPlan:
    """Return ``plan_windows``' plan on a device."""
    return plan_windows(rows, columns, window, merge).to(device)


def plan_windows(rows: int, columns: int, window: int, merge: int) -> WindowPlan:
    """Plan a merged grid of rows x columns with windows of ``window`` merged tokens a side."""
    token = torch.arange(rows * columns).view(rows, columns)
    by_size: dict[int, list[torch.Tensor]] = {}
    for top in range(0, rows, window):
        for left in range(0, columns, window):
            tile = token[top : top + window, left : left + window].reshape(-1)
            by_size.setdefault(tile.numel(), []).append(tile)
    order = torch.cat([tile for tiles in by_size.values() for tile in tiles])
    unit = merge * merge
    groups = tuple((len(tiles), size * unit) for size, tiles in by_size.items())
    inner = torch.arange(unit)
    patch_rows = (order // columns)[:, None] * merge + inner // merge
    patch_columns = (order % columns)[:, None] * merge + inner % merge
    return WindowPlan(
        order, groups, patch_rows.reshape(-1), patch_columns.reshape(-1), order.argsort()
    )


def encode_video(
    weights: VisionWeights, patches: torch.Tensor, grid: Grid, operations: Operations = TORCH
) -> torch.Tensor:
    """Encode temporal patches of one size.

    Args:
        weights: of the ViT.
        patches: [t * h * w * merge^2, channels * 2 * patch^2] as the stock processor orders them.
        grid: merged grid (t, h, w).
        operations: what its blocks are made of.

    Returns:
        Embeddings [t * h * w, out_hidden_size] in reading order.

    """
    visual = weights.visual
    weight = visual.patch_embed.proj.weight
    merge = visual.spatial_merge_size
    plan = plan_on(
        patches.device, grid.h, grid.w, visual.window_size // merge // visual.patch_size, merge
    )
    x = functional.linear(patches.to(weight.dtype), weight.flatten(1))
    x = x.view(grid.t, grid.h * grid.w, merge * merge, -1)[:, plan.order].flatten(0, 2)
    cos, sin = _rotary(visual, plan, grid.t)
    delta = torch.zeros_like(x)
    for block in weights.blocks:
        # Only does anything where the ViT is spread over several devices.
        x, delta, cos, sin = (each.to(block.norm.device) for each in (x, delta, cos, sin))
        x, normed = operations.add(x, delta, block.norm, block.epsilon)
        qkv = functional.linear(normed, block.qkv, block.qkv_bias)
        attended = attend_windows(
            qkv,
            cos,
            sin,
            block.heads,
            grid.t,
            ((1, grid.h * grid.w * merge * merge),) if block.full else plan.groups,
            operations,
        )
        delta = functional.linear(attended, block.out, block.out_bias)
        x, normed = operations.add(x, delta, block.mlp_norm, block.epsilon)
        gated = operations.gate(functional.linear(normed, block.gate_up, block.gate_up_bias))
        delta = functional.linear(gated, block.down, block.down_bias)
    merged = _merge(visual.merger, x + delta).view(grid.t, grid.h * grid.w, -1)
    return merged[:, plan.place.to(merged.device)].flatten(0, 1)


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


def _merge(merger: Any, x: torch.Tensor) -> torch.Tensor:
    """Return embeddings [tokens, out_hidden_size] of [patches, width], a token's together."""
    scale = merger.ln_q
    normed = rms_norm(x.to(scale.weight.device), scale.weight, scale.variance_epsilon)
    merged: torch.Tensor = merger.mlp(normed.view(-1, merger.mlp[0].in_features))
    return merged


def _rotary(visual: Any, plan: WindowPlan, t: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosine and sine, float32 [t * patches, width / 2]."""
    inv_freq = visual.rotary_pos_emb.inv_freq.to(plan.rows.device, torch.float32)
    angles = torch.cat(
        [axis[:, None].float() * inv_freq for axis in (plan.rows, plan.columns)], dim=-1
    )
    angles = angles.repeat(t, 1)
    return angles.cos(), angles.sin()
