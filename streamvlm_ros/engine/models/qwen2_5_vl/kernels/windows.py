# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Attention inside the ViT's windows, from the product with all three matrices to its result."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl

from streamvlm_ros.engine.ops.kernels.launch import launch_options, PDL

LOG2_E = 1.4426950408889634
MOST_PATCHES = 64  # of a window: one program has all of them


@triton.jit
def _turned(qkv, place, mask, c, s, half):
    """Load a tile's first and second half, and rotate it."""
    first = tl.load(qkv + place, mask=mask, other=0.0).to(tl.float32)
    second = tl.load(qkv + place + half, mask=mask, other=0.0).to(tl.float32)
    dtype = qkv.dtype.element_ty
    return (first * c - second * s).to(dtype), (second * c + first * s).to(dtype)


# One for all sizes of frames.
@triton.jit(do_not_specialize=['start', 'windows', 'patches', 'size'])
def _window(
    qkv,
    cos,
    sin,
    out,
    start,
    windows,
    patches,
    size,
    scale,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    HALF: tl.constexpr,
    PDL: tl.constexpr,
):
    """Attend inside one window with one head."""
    if PDL:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    half: tl.constexpr = WIDTH // 2
    window, head = tl.program_id(0), tl.program_id(1)
    first = window // windows * patches + start + window % windows * size
    inner, at = tl.arange(0, ROWS), tl.arange(0, HALF)
    row = (first + inner).to(tl.int64)
    there = (inner < size)[:, None]
    mask = there & (at < half)[None, :]
    angle = row[:, None] * half + at[None, :]
    c = tl.load(cos + angle, mask=mask, other=0.0)
    s = tl.load(sin + angle, mask=mask, other=0.0)
    place = (row * 3 * HEADS * WIDTH + head * WIDTH)[:, None]
    query, other_query = _turned(qkv, place + at[None, :], mask, c, s, half)
    key, other_key = _turned(qkv, place + HEADS * WIDTH + at[None, :], mask, c, s, half)
    score = tl.dot(other_query, tl.trans(other_key), tl.dot(query, tl.trans(key))) * scale
    score = tl.where((inner < size)[None, :], score, float('-inf'))
    weight = tl.exp2(score - tl.max(score, 1)[:, None])
    column = tl.arange(0, 2 * HALF)
    mask = there & (column < WIDTH)[None, :]
    value = tl.load(qkv + place + 2 * HEADS * WIDTH + column[None, :], mask=mask, other=0.0)
    result = tl.dot(weight.to(value.dtype), value) / tl.sum(weight, 1)[:, None]
    tl.store(
        out + (row * HEADS * WIDTH + head * WIDTH)[:, None] + column[None, :],
        result.to(out.dtype.element_ty),
        mask=mask,
    )


def attend_windows(
    qkv: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    heads: int,
    t: int,
    groups: Sequence[tuple[int, int]],
) -> torch.Tensor:
    """Rotate, and attend inside windows of at most MOST_PATCHES.

    Args:
        qkv: [t * patches, 3 heads width], patches in window order.
        cos: float32 [t * patches, width / 2]; sin likewise.
        sin: see cos.
        heads: how many.
        t: temporal patches.
        groups: see ``windows.attend_windows``.

    Returns:
        [t * patches, heads * width].

    """
    rows, width = qkv.shape[0], qkv.shape[1] // (3 * heads)
    out = qkv.new_empty(rows, heads * width)
    start = 0
    for windows, size in groups:
        _window[(t * windows, heads)](
            qkv,
            cos,
            sin,
            out,
            start,
            windows,
            rows // t,
            size,
            width**-0.5 * LOG2_E,
            HEADS=heads,
            WIDTH=width,
            ROWS=max(16, triton.next_power_of_2(size)),
            HALF=max(16, triton.next_power_of_2(width // 2)),
            PDL=PDL,
            num_warps=4,
            **launch_options(),
        )
        start += windows * size
    return out
