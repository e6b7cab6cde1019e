# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One sequence's attention on Hopper cards, whose matrix units run asynchronously.

It computes what ``segments._sequence`` computes for a chunk or a question, tile by tile of keys.
In Triton the matrix units wait for the softmax of every tile. In Gluon, its lower level, they do
not. Of three warp groups one loads keys and values, and two have 64 rows of queries each. The
softmax of one runs at the same time as the products of the other, and as its own product of the
tile before (FlashAttention-3, arXiv 2407.08608). Barriers hand the slots of shared memory from one
group to another.
"""

from __future__ import annotations

import torch
import triton
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    warpgroup_mma,
    warpgroup_mma_wait,
)
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from streamvlm_ros.engine.ops.kernels.attention.hopper_tiles import (
    before_first,
    count_tiles,
    load_tiles,
    next_tile,
)
from streamvlm_ros.engine.ops.kernels.launch import launch_options

ROWS = 128  # of queries in a program
BLOCK = 128  # keys in a tile
WIDTH = 128  # of a head
# Tiles of keys, and of values, in shared memory: with the queries 229,376 of 232,448 bytes.
STAGES = 3
GROUP_WARPS = 4
# Registers of a thread that computes and of one that loads; 2 x 128 and 128 of them share 64,512.
REGISTERS = (232, 40)


@gluon.jit
def _weigh(
    score, count, fresh, token, best, total, scale, BLOCK: gl.constexpr, layout: gl.constexpr
):
    """Return a tile's weights, the factor for the result so far, and the new best and total."""
    if (count < BLOCK) | (fresh > -BLOCK):
        inner = gl.arange(0, BLOCK, layout=gl.SliceLayout(0, layout))
        is_seen = (inner < count)[None, :] & (fresh + inner[None, :] <= token[:, None])
        score = gl.where(is_seen, score, float('-inf'))
    top = gl.maximum(best, gl.max(score, 1) * scale)
    # A row that has seen no key yet keeps its zeros.
    base = gl.where(top == float('-inf'), 0.0, top)
    weight = gl.exp2(score * scale - base[:, None])
    shrink = gl.exp2(best - base)
    return weight, shrink, top, total * shrink + gl.sum(weight, 1)


@gluon.jit
def _attend(
    half,
    shared,
    seen,
    tiles,
    out,
    scale,
    HEADS: gl.constexpr,
    KV_HEADS: gl.constexpr,
    WIDTH: gl.constexpr,
    ROWS: gl.constexpr,
    BLOCK: gl.constexpr,
    STAGES: gl.constexpr,
    WARPS: gl.constexpr,
):
    """Attend from half of the program's rows, and write the result."""
    queries, keys, values, keys_there, keys_read, values_there, values_read = shared
    part, lse, split, tokens, first_row = out
    GROUP: gl.constexpr = HEADS // KV_HEADS
    HALF: gl.constexpr = ROWS // 2
    layout: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [WARPS, 1], [16, BLOCK, 16])
    layout_out: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [WARPS, 1], [16, WIDTH, 16])
    left: gl.constexpr = gl.DotOperandLayout(0, layout_out, 2)
    begin = first_row + half * HALF
    token = (begin + gl.arange(0, HALF, layout=gl.SliceLayout(1, layout))) // GROUP
    query = queries.index(half)
    nothing = gl.full([HALF, BLOCK], 0.0, gl.float32, layout=layout)
    result = gl.full([HALF, WIDTH], 0.0, gl.float32, layout=layout_out)
    best = gl.full([HALF], float('-inf'), gl.float32, layout=gl.SliceLayout(1, layout))
    total = gl.full([HALF], 0.0, gl.float32, layout=gl.SliceLayout(1, layout))
    if tiles > 0:
        place, count, fresh = next_tile(
            before_first(seen, WIDTH, BLOCK), seen, KV_HEADS, WIDTH, BLOCK
        )
        mbarrier.wait(keys_there.index(0), 0)
        fence_async_shared()
        score = warpgroup_mma(
            query, keys.index(0).permute((1, 0)), nothing, use_acc=False, is_async=True
        )
        score = warpgroup_mma_wait(0, deps=[score])
        mbarrier.arrive(keys_read.index(0), count=1)
        weight, shrink, best, total = _weigh(
            score, count, fresh, token, best, total, scale, BLOCK, layout
        )
        weight = gl.convert_layout(weight.to(keys.dtype), left)
        slot, parity = tiles * 0 + 1, tiles * 0
        last, last_parity = tiles * 0, tiles * 0
        for _ in range(1, tiles):
            place, count, fresh = next_tile(place, seen, KV_HEADS, WIDTH, BLOCK)
            mbarrier.wait(keys_there.index(slot), parity)
            fence_async_shared()
            score = warpgroup_mma(
                query, keys.index(slot).permute((1, 0)), nothing, use_acc=False, is_async=True
            )
            mbarrier.wait(values_there.index(last), last_parity)
            fence_async_shared()
            added = warpgroup_mma(weight, values.index(last), result, is_async=True)
            # The scores are there; the softmax runs beside the product with the values.
            score = warpgroup_mma_wait(1, deps=[score])
            mbarrier.arrive(keys_read.index(slot), count=1)
            weight, shrink, best, total = _weigh(
                score, count, fresh, token, best, total, scale, BLOCK, layout
            )
            result = warpgroup_mma_wait(0, deps=[added])
            mbarrier.arrive(values_read.index(last), count=1)
            result *= gl.convert_layout(shrink, gl.SliceLayout(1, layout_out))[:, None]
            weight = gl.convert_layout(weight.to(keys.dtype), left)
            last, last_parity = slot, parity
            slot += 1
            if slot == STAGES:
                slot = tiles * 0
                parity ^= 1
        mbarrier.wait(values_there.index(last), last_parity)
        fence_async_shared()
        result = warpgroup_mma(weight, values.index(last), result)
    total = gl.convert_layout(total, gl.SliceLayout(1, layout_out))
    best = gl.convert_layout(best, gl.SliceLayout(1, layout_out))
    some = gl.where(total > 0, total, 1.0)
    row = begin + gl.arange(0, HALF, layout=gl.SliceLayout(1, layout_out))
    head = seen[7]
    line = (split * tokens + row // GROUP).to(gl.int64) * HEADS + head * GROUP + row % GROUP
    mask = row // GROUP < tokens
    column = gl.arange(0, WIDTH, layout=gl.SliceLayout(0, layout_out))
    gl.store(
        part + line[:, None] * WIDTH + column[None, :],
        (result / some[:, None]).to(part.dtype.element_ty),
        mask=mask[:, None],
    )
    gl.store(lse + line, gl.where(total > 0, best + gl.log2(some), float('-inf')), mask=mask)


# As in segments.py: one kernel for all layers.
@gluon.jit(do_not_specialize=['layer'])
def _sequence(
    query,
    fresh_keys,
    fresh_values,
    table,
    part,
    lse,
    layer,
    tokens,
    scale,
    HEADS: gl.constexpr,
    KV_HEADS: gl.constexpr,
    WIDTH: gl.constexpr,
    ROWS: gl.constexpr,
    BLOCK: gl.constexpr,
    STAGES: gl.constexpr,
    WARPS: gl.constexpr,
    COMPUTES: gl.constexpr,
    LOADS: gl.constexpr,
):
    """Compute what ``segments._sequence`` does, without a tree."""
    gdc_launch_dependents()
    gdc_wait()
    GROUP: gl.constexpr = HEADS // KV_HEADS
    HALF: gl.constexpr = ROWS // 2
    dtype: gl.constexpr = query.dtype.element_ty
    layout: gl.constexpr = gl.BlockedLayout([1, 8], [2, 16], [WARPS, 1], [1, 0])
    swizzled: gl.constexpr = gl.NVMMASharedLayout(
        swizzle_byte_width=128, element_bitwidth=16, rank=2
    )
    queries = gl.allocate_shared_memory(dtype, [2, HALF, WIDTH], swizzled)
    keys = gl.allocate_shared_memory(dtype, [STAGES, BLOCK, WIDTH], swizzled)
    values = gl.allocate_shared_memory(dtype, [STAGES, BLOCK, WIDTH], swizzled)
    keys_there = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    keys_read = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    values_there = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    values_read = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    for slot in gl.static_range(STAGES):
        # Every thread that copies signals when its part has arrived, each half when it has read.
        mbarrier.init(keys_there.index(slot), count=32 * WARPS)
        mbarrier.init(values_there.index(slot), count=32 * WARPS)
        mbarrier.init(keys_read.index(slot), count=2)
        mbarrier.init(values_read.index(slot), count=2)
    head, split = gl.program_id(1), gl.program_id(2)
    column = gl.arange(0, WIDTH, layout=gl.SliceLayout(0, layout))
    for half in gl.static_range(2):
        row = (
            gl.program_id(0) * ROWS
            + half * HALF
            + gl.arange(0, HALF, layout=gl.SliceLayout(1, layout))
        )
        line = row // GROUP * HEADS + head * GROUP + row % GROUP
        queries.index(half).store(
            gl.load(
                query + line[:, None] * WIDTH + column[None, :],
                mask=(row // GROUP < tokens)[:, None],
                other=0.0,
            )
        )
    fence_async_shared()
    number = gl.load(table).to(gl.int32)
    cached, own = gl.load(table + 1).to(gl.int32), gl.load(table + 2).to(gl.int32)
    each = gl.cdiv(gl.cdiv(cached + own, gl.num_programs(2)), BLOCK) * BLOCK
    low = split * each
    high = gl.minimum(low + each, cached + own)
    # No row of this tile sees a token after the last one of the tile.
    own = gl.minimum(
        gl.minimum(high - cached, own), (gl.program_id(0) * ROWS + ROWS - 1) // GROUP + 1
    )
    seen = (table, number, cached, own, low, high, layer, head, fresh_keys, fresh_values)
    tiles = count_tiles(seen, KV_HEADS, WIDTH, BLOCK)
    shared = (queries, keys, values, keys_there, keys_read, values_there, values_read)
    out = (part, lse, split, tokens, gl.program_id(0) * ROWS)
    gl.warp_specialize(
        [
            (
                _attend,
                (
                    0,
                    shared,
                    seen,
                    tiles,
                    out,
                    scale,
                    HEADS,
                    KV_HEADS,
                    WIDTH,
                    ROWS,
                    BLOCK,
                    STAGES,
                    WARPS,
                ),
            ),
            (
                _attend,
                (
                    1,
                    shared,
                    seen,
                    tiles,
                    out,
                    scale,
                    HEADS,
                    KV_HEADS,
                    WIDTH,
                    ROWS,
                    BLOCK,
                    STAGES,
                    WARPS,
                ),
            ),
            (load_tiles, (shared, seen, tiles, KV_HEADS, WIDTH, BLOCK, STAGES, WARPS)),
        ],
        [WARPS, WARPS],
        [COMPUTES, LOADS],
    )


def attend_tiles(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    table: torch.Tensor,
    part: torch.Tensor,
    lse: torch.Tensor,
    layer: int,
    kv_heads: int,
    scale: float,
) -> None:
    """Launch the kernel for ``segments.attend_sequence``; head_dim is WIDTH.

    Args:
        query: rotated [n, heads, head_dim].
        keys: of the new tokens [n, kv_heads, head_dim].
        values: likewise.
        table: as for ``attend_sequence``.
        part: takes the partial results [splits, n, heads, head_dim].
        lse: takes their log2-sum-exp, float32 [splits, n, heads].
        layer: which one's.
        kv_heads: how many.
        scale: of the scores, times log2(e).

    """
    n, heads, _ = query.shape
    _sequence[(triton.cdiv(n * heads // kv_heads, ROWS), kv_heads, len(part))](
        query,
        keys,
        values,
        table,
        part,
        lse,
        layer,
        n,
        scale,
        HEADS=heads,
        KV_HEADS=kv_heads,
        WIDTH=WIDTH,
        ROWS=ROWS,
        BLOCK=BLOCK,
        STAGES=STAGES,
        WARPS=GROUP_WARPS,
        COMPUTES=REGISTERS[0],
        LOADS=REGISTERS[1],
        num_warps=GROUP_WARPS,
        **launch_options(),
    )
