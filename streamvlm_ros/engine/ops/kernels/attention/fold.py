# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An online softmax over tiles of keys and values: what the kernels of ``segments.py`` share.

Each query row has three running values: its largest score so far (``best``), the sum of its
weights (``total``) and the weighted sum of the values (``result``). Every tile updates them.
"""

from __future__ import annotations

import triton
import triton.language as tl

from streamvlm_ros.engine.ops.kernels.launch import prefetch


@triton.jit
def fold(query, keys, values, there, seen, best, total, result, scale, MASKED: tl.constexpr):
    """Fold a tile of keys and values, pointers [BLOCK, head_dim], into an online softmax.

    ``there`` [BLOCK] says which keys exist, ``seen`` [rows, BLOCK] or [1, BLOCK] which ones a row
    sees; without MASKED, all of them.
    """
    if MASKED:
        key = tl.load(keys, mask=there[:, None], other=0.0)
    else:
        key = tl.load(keys)
    score = tl.dot(query, tl.trans(key)) * scale
    if MASKED:
        score = tl.where(seen, score, float('-inf'))
    top = tl.maximum(best, tl.max(score, 1))
    base = top
    if MASKED:
        # A row that has seen no key yet keeps its zeros.
        base = tl.where(top == float('-inf'), 0.0, top)
    weight = tl.exp2(score - base[:, None])
    shrink = tl.exp2(best - base)
    total = total * shrink + tl.sum(weight, 1)
    if MASKED:
        value = tl.load(values, mask=there[:, None], other=0.0)
    else:
        value = tl.load(values)
    result = tl.dot(weight.to(value.dtype), value, result * shrink[:, None])
    return top, total, result


@triton.jit
def fold_segments(
    query,
    segments,
    number,
    low,
    high,
    layer,
    head,
    best,
    total,
    result,
    scale,
    KV_HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Fold keys ``low`` to ``high - 1``, counted over all segments."""
    dtype = query.dtype
    at = tl.arange(0, WIDTH)
    inner = tl.arange(0, BLOCK)
    passed = 0
    for i in range(number):
        address = tl.load(segments + 4 * i)
        slots = tl.load(segments + 4 * i + 1)
        start = tl.load(segments + 4 * i + 2).to(tl.int32)
        end = tl.load(segments + 4 * i + 3).to(tl.int32)
        first = start + tl.maximum(low - passed, 0)
        last = start + tl.minimum(high - passed, end - start)
        passed += end - start
        # Only the offset of a layer and a head can exceed 32 bits.
        # The compiler has to be told that a number from memory is an aligned address.
        base = tl.multiple_of(address.to(tl.pointer_type(dtype)), 16)
        keys = base + (layer * 2 * KV_HEADS + head) * slots * WIDTH
        values = keys + KV_HEADS * slots * WIDTH
        whole = first + tl.maximum(last - first, 0) // BLOCK * BLOCK
        place = (first + inner)[:, None] * WIDTH + at[None, :]
        for _ in range(first, whole, BLOCK):
            best, total, result = fold(
                query, keys + place, values + place, None, None, best, total, result, scale, False
            )
            place += BLOCK * WIDTH
        if whole < last:
            there = whole + inner < last
            best, total, result = fold(
                query,
                keys + place,
                values + place,
                there,
                there[None, :],
                best,
                total,
                result,
                scale,
                True,
            )
    return best, total, result


@triton.jit
def prefetch_tile(
    query,
    segments,
    low,
    layer,
    head,
    KV_HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Prefetch the tile at ``low``, if it is in the first segment."""
    address, slots = tl.load(segments), tl.load(segments + 1)
    start, end = tl.load(segments + 2), tl.load(segments + 3)
    slot = tl.minimum(start + low + tl.arange(0, BLOCK), end - 1)
    keys = address.to(query.dtype) + (layer * 2 * KV_HEADS + head) * slots * WIDTH
    place = slot[:, None] * WIDTH + 64 * tl.arange(0, (WIDTH + 63) // 64)[None, :]
    prefetch(keys + place)
    prefetch(keys + KV_HEADS * slots * WIDTH + place)


@triton.jit
def write_part(part, lse, line, mask, best, total, result, WIDTH: tl.constexpr):
    """Write rows of a partial result at ``line``; rows that saw nothing have an lse of -inf."""
    at = tl.arange(0, WIDTH)
    result = result / tl.where(total > 0, total, 1.0)[:, None]
    tl.store(
        part + line[:, None] * WIDTH + at[None, :],
        result.to(part.dtype.element_ty),
        mask=mask[:, None],
    )
    seen = tl.where(total > 0, best + tl.log2(tl.where(total > 0, total, 1.0)), float('-inf'))
    tl.store(lse + line, seen, mask=mask)
