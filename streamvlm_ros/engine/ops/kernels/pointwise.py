# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Operations between the large matrix products; each is one pass over its tensor."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from streamvlm_ros.engine.ops.kernels.launch import launch_options, PDL

HEADS = 4  # that one program of ``rotate_and_store`` rotates


@triton.jit
def _norm(
    x,
    delta,
    weight,
    out,
    width,
    epsilon,
    BLOCK: tl.constexpr,
    ADD: tl.constexpr,
    PDL: tl.constexpr,
):
    if PDL:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    mask = at < width
    value = tl.load(x + row * width + at, mask=mask, other=0.0).to(tl.float32)
    if ADD:
        value += tl.load(delta + row * width + at, mask=mask, other=0.0).to(tl.float32)
        value = value.to(x.dtype.element_ty)
        tl.store(x + row * width + at, value, mask=mask)
        value = value.to(tl.float32)
    factor = tl.rsqrt(tl.sum(value * value) / width + epsilon)
    scale = tl.load(weight + at, mask=mask, other=0.0).to(tl.float32)
    normed = (value * factor * scale).to(out.dtype.element_ty)
    tl.store(out + row * width + at, normed, mask=mask)


def rms_norm(
    x: torch.Tensor, weight: torch.Tensor, epsilon: float, delta: torch.Tensor | None = None
) -> torch.Tensor:
    """Return RMSNorm of x [rows, width]; with ``delta``, add that to x in place first."""
    rows, width = x.shape
    out = torch.empty_like(x)
    _norm[(rows,)](
        x,
        delta,
        weight,
        out,
        width,
        epsilon,
        BLOCK=triton.next_power_of_2(width),
        ADD=delta is not None,
        PDL=PDL,
        num_warps=8 if width > 2048 else 4,
        **launch_options(),
    )
    return out


@triton.jit
def _gate(x, out, width, BLOCK: tl.constexpr, PDL: tl.constexpr):
    if PDL:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = at < width
    gate = tl.load(x + row * 2 * width + at, mask=mask, other=0.0).to(tl.float32)
    up = tl.load(x + row * 2 * width + width + at, mask=mask, other=0.0).to(tl.float32)
    tl.store(
        out + row * width + at, (gate * tl.sigmoid(gate) * up).to(out.dtype.element_ty), mask=mask
    )


def gate(x: torch.Tensor) -> torch.Tensor:
    """Return silu(first half) * second half of x [rows, 2 width]."""
    rows, width = x.shape[0], x.shape[1] // 2
    out = x.new_empty(rows, width)
    block = min(2048, triton.next_power_of_2(width))
    _gate[(rows, triton.cdiv(width, block))](
        x, out, width, BLOCK=block, PDL=PDL, **launch_options()
    )
    return out


@triton.jit
def _turn(
    qkv,
    cos,
    sin,
    query,
    key,
    value,
    heads,
    width: tl.constexpr,
    half: tl.constexpr,
    HEADS: tl.constexpr,
    HALF: tl.constexpr,
    PDL: tl.constexpr,
):
    """Rotate query and key heads [heads, width] of one row, and split the row in three."""
    if PDL:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)
    at = tl.arange(0, HALF)
    mask = (head < 3 * heads)[:, None] & (at < half)[None, :]
    source = qkv + row * 3 * heads * width + head[:, None] * width + at[None, :]
    first = tl.load(source, mask=mask, other=0.0).to(tl.float32)
    second = tl.load(source + half, mask=mask, other=0.0).to(tl.float32)
    turned = (head < 2 * heads)[:, None]
    c = tl.load(cos + row * half + at, mask=at < half, other=0.0)[None, :]
    s = tl.load(sin + row * half + at, mask=at < half, other=0.0)[None, :]
    left = tl.where(turned, first * c - second * s, first)
    right = tl.where(turned, second * c + first * s, second)
    kind = head // heads
    place = row * heads * width + (head % heads)[:, None] * width + at[None, :]
    dtype = query.dtype.element_ty
    for which in tl.static_range(3):
        target = query if which == 0 else (key if which == 1 else value)
        here = mask & (kind == which)[:, None]
        tl.store(target + place, left.to(dtype), mask=here)
        tl.store(target + place + half, right.to(dtype), mask=here)


def rotate_vision(
    qkv: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    heads: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rotate the ViT's queries and keys.

    Args:
        qkv: [rows, 3 heads width].
        cos: float32 [rows, width / 2]; sin likewise.
        sin: see cos.
        heads: how many.

    Returns:
        Queries, keys, values [rows, heads, width].

    """
    rows, width = qkv.shape[0], qkv.shape[1] // (3 * heads)
    query, key, value = (qkv.new_empty(rows, heads, width) for _ in range(3))
    _turn[(rows, triton.cdiv(3 * heads, 16))](
        qkv,
        cos,
        sin,
        query,
        key,
        value,
        heads,
        width,
        width // 2,
        HEADS=16,
        HALF=triton.next_power_of_2(width // 2),
        PDL=PDL,
        **launch_options(),
    )
    return query, key, value


# As in segments.py: one kernel for all layers.
@triton.jit(do_not_specialize=['layer'])
def _rotate_and_store(
    qkv,
    cos,
    sin,
    query,
    key,
    value,
    target,
    slots,
    slot,
    layer,
    heads,
    KV_HEADS: tl.constexpr,
    HEADS: tl.constexpr,
    HALF: tl.constexpr,
    SHARED: tl.constexpr,
    PDL: tl.constexpr,
):
    """Rotate one token's queries and keys; store keys and values in their slot."""
    if PDL:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)
    at = tl.arange(0, HALF)
    width = 2 * HALF
    every = heads + 2 * KV_HEADS
    mask = (head < every)[:, None] & (at < HALF)[None, :]
    source = qkv + row * every * width + head[:, None] * width + at[None, :]
    first = tl.load(source, mask=mask, other=0.0).to(tl.float32)
    second = tl.load(source + HALF, mask=mask, other=0.0).to(tl.float32)
    c = tl.load(cos + row * HALF + at)[None, :]
    s = tl.load(sin + row * HALF + at)[None, :]
    turned = (head < heads + KV_HEADS)[:, None]
    dtype = qkv.dtype.element_ty
    left = tl.where(turned, first * c - second * s, first).to(dtype)
    right = tl.where(turned, second * c + first * s, second).to(dtype)
    is_query = mask & (head < heads)[:, None]
    place = query + row * heads * width + head[:, None] * width + at[None, :]
    tl.store(place, left, mask=is_query)
    tl.store(place + HALF, right, mask=is_query)
    # Of the remaining heads, 0 to KV_HEADS - 1 are keys; the rest are values.
    pair = head - heads
    which = (pair >= KV_HEADS).to(tl.int64)
    own = pair - which * KV_HEADS
    stored = mask & (pair >= 0)[:, None]
    fresh = row * KV_HEADS * width + own[:, None] * width + at[None, :]
    for side in tl.static_range(2):
        to = key if side == 0 else value
        here = stored & (which == side)[:, None]
        tl.store(to + fresh, left, mask=here)
        tl.store(to + fresh + HALF, right, mask=here)
    index = 0 if SHARED else row
    # That a number from memory is an aligned address has to be said.
    base = tl.multiple_of(tl.load(target + index).to(tl.pointer_type(dtype)), 16)
    size = tl.load(slots + index)
    where = tl.load(slot + row)
    line = (layer * 2 + which) * KV_HEADS + own
    kept = stored & (where + 0 * line >= 0)[:, None]
    cached = base + (line * size + where)[:, None] * width + at[None, :]
    tl.store(cached, left, mask=kept)
    tl.store(cached + HALF, right, mask=kept)


def rotate_and_store(
    qkv: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    layer: int,
    kv_heads: int,
    target: torch.Tensor,
    slots: torch.Tensor,
    slot: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rotate queries and keys, and store keys and values in their slots.

    Args:
        qkv: [n, (heads + 2 kv_heads) head_dim].
        cos: float32 [n, head_dim / 2]; sin likewise.
        sin: see cos.
        layer: which one's keys and values they are.
        kv_heads: how many.
        target: int64, the address of the ``KVBuffer`` of every token, or one for all of them.
        slots: int64, how many slots that has.
        slot: int64 [n], the slot of each token; -1: not stored.

    Returns:
        Rotated queries [n, heads, head_dim], and the new keys and values [n, kv_heads, head_dim].

    """
    n, half = cos.shape
    every = qkv.shape[1] // (2 * half)
    heads = every - 2 * kv_heads
    query = qkv.new_empty(n, heads, 2 * half)
    key, value = (qkv.new_empty(n, kv_heads, 2 * half) for _ in range(2))
    _rotate_and_store[(n, triton.cdiv(every, HEADS))](
        qkv,
        cos,
        sin,
        query,
        key,
        value,
        target,
        slots,
        slot,
        layer,
        heads,
        KV_HEADS=kv_heads,
        HEADS=HEADS,
        HALF=half,
        SHARED=target.numel() == 1,
        PDL=PDL,
        num_warps=1,
        **launch_options(),
    )
    return query, key, value
