# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ViT: attention over whole temporal patches, a table of positions, features for DeepStack.

It never mixes temporal patches, so a chunk's output is the whole video's, cut.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import torch
from torch.nn import functional

from streamvlm_ros.engine.ops.operations import Operations, TORCH
from streamvlm_ros.engine.positions import Grid


@dataclasses.dataclass(frozen=True)
class PatchPlaces:
    """Where the patches of one temporal patch are, in the order in which they come.

    Attributes:
        rows, columns: int64 [patches].
        taps: int64 [patches, 4], the entries of the table of positions around each.
        shares: float32 [patches, 4], how much of each it gets.

    """

    rows: torch.Tensor
    columns: torch.Tensor
    taps: torch.Tensor
    shares: torch.Tensor


@functools.lru_cache(maxsize=32)
@torch.inference_mode(False)
def places_on(device: torch.device, rows: int, columns: int, merge: int, side: int) -> PatchPlaces:
    """Return ``patch_places`` on a device."""
    places = patch_places(rows, columns, merge, side)
    return PatchPlaces(*(each.to(device) for each in vars(places).values()))


def patch_places(rows: int, columns: int, merge: int, side: int) -> PatchPlaces:
    """Place the patches of a merged grid of rows x columns tokens; a token's come together.

    The table has ``side`` rows and columns.  It is stretched so that its corners lie on those of
    the grid, and read between its entries in proportion to their distance (bilinear).
    """
    y = torch.arange(rows * merge).view(rows, 1, merge, 1)
    x = torch.arange(columns * merge).view(1, columns, 1, merge)
    y, x = (each.flatten() for each in torch.broadcast_tensors(y, x))
    (low_y, high_y, part_y), (low_x, high_x, part_x) = (
        _between(place, count * merge, side) for place, count in ((y, rows), (x, columns))
    )
    taps = [low_y * side + low_x, low_y * side + high_x, high_y * side + low_x]
    shares = [(1 - part_y) * (1 - part_x), (1 - part_y) * part_x, part_y * (1 - part_x)]
    return PatchPlaces(
        y,
        x,
        torch.stack([*taps, high_y * side + high_x], dim=1),
        torch.stack([*shares, part_y * part_x], dim=1),
    )


def _between(
    place: torch.Tensor, count: int, side: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the entries before and after places, and how far each is from the one before."""
    exact = place.float() * (side - 1) / max(count - 1, 1)
    low = exact.floor()
    return low.long(), (low.long() + 1).clamp(max=side - 1), exact - low


def encode_video(
    visual: Any, patches: torch.Tensor, grid: Grid, operations: Operations = TORCH
) -> torch.Tensor:
    """Encode temporal patches of one size.

    Args:
        visual: the ViT's modules; stock ``Qwen3VLVisionModel`` has the same.
        patches: [t * h * w * merge^2, channels * 2 * patch^2] as the stock processor orders them.
        grid: merged grid (t, h, w).
        operations: what its blocks are made of.

    Returns:
        [t * h * w, (1 + side outputs) * out_hidden_size] in reading order: a token's embedding,
        then what is added after each of the first decoder layers.

    """
    weight, table = visual.patch_embed.proj.weight, visual.pos_embed.weight
    side = round(table.shape[0] ** 0.5)
    places = places_on(patches.device, grid.h, grid.w, visual.spatial_merge_size, side)
    x = functional.linear(
        patches.to(weight.dtype), weight.flatten(1), visual.patch_embed.proj.bias
    )
    position = (table[places.taps] * places.shares[:, :, None]).sum(1).to(x.dtype)
    x = (x.unflatten(0, (grid.t, -1)) + position).flatten(0, 1)
    cos, sin = _rotary(visual, places, grid.t)
    features: list[torch.Tensor] = []
    for index, block in enumerate(visual.blocks):
        # Only does anything where the ViT is spread over several devices.
        x, cos, sin = (each.to(block.norm1.weight.device) for each in (x, cos, sin))
        x = _run_block(block, x, cos, sin, grid.t, operations)
        if index in visual.deepstack_visual_indexes:
            features.append(_merge(visual.deepstack_merger_list[len(features)], x, True))
    tokens = _merge(visual.merger, x, False)
    return torch.cat([tokens, *(each.to(tokens.device) for each in features)], dim=1)


def _run_block(
    block: Any,
    x: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    t: int,
    operations: Operations,
) -> torch.Tensor:
    """Return the hidden states [t * patches, width] after a block."""
    attention, mlp = block.attn, block.mlp
    qkv = attention.qkv(block.norm1(x))
    parts = operations.split_rotated(qkv, cos, sin, attention.num_heads)
    attended = functional.scaled_dot_product_attention(
        *(each.unflatten(0, (t, -1)).transpose(1, 2) for each in parts)
    )
    x = x + attention.proj(attended.transpose(1, 2).flatten(0, 1).flatten(1))
    inner = functional.gelu(mlp.linear_fc1(block.norm2(x)), approximate='tanh')
    updated: torch.Tensor = x + mlp.linear_fc2(inner)
    return updated


def _merge(merger: Any, x: torch.Tensor, joined_norm: bool) -> torch.Tensor:
    """Return [tokens, out_hidden_size] of [patches, width], a token's together."""
    x, width = x.to(merger.norm.weight.device), merger.linear_fc1.in_features
    normed = merger.norm(x.view(-1, width)) if joined_norm else merger.norm(x).view(-1, width)
    merged: torch.Tensor = merger.linear_fc2(functional.gelu(merger.linear_fc1(normed)))
    return merged


def _rotary(visual: Any, places: PatchPlaces, t: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosine and sine, float32 [t * patches, width / 2]."""
    inv_freq = visual.rotary_pos_emb.inv_freq.to(places.rows.device, torch.float32)
    angles = torch.cat(
        [axis[:, None].float() * inv_freq for axis in (places.rows, places.columns)], dim=-1
    )
    angles = angles.repeat(t, 1)
    return angles.cos(), angles.sin()
