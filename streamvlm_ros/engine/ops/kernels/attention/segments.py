# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Attention over segments of ``KVBuffer``s that are read in place, and over new tokens.

A segment is four int64: the buffer's address and slots, first slot, one past the last.  Their
number and lengths are read on the device, so one launch, captured once, serves any length.  The
keys are split among programs; ``merge`` joins their results by log-sum-exp.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from streamvlm_ros.engine.ops.kernels.attention.fold import (
    fold,
    fold_segments,
    prefetch_tile,
    write_part,
)
from streamvlm_ros.engine.ops.kernels.attention.merge import merge
from streamvlm_ros.engine.ops.kernels.launch import (
    BLACKWELL,
    HOPPER,
    launch_options,
    PDL,
    ROOMY,
    STAGES,
)

if HOPPER:
    from streamvlm_ros.engine.ops.kernels.attention import hopper

ROWS = 128  # of queries in the largest tile
BATCH_BLOCK = 64  # keys in a tile when answers are decoded together
LOG2_E = 1.4426950408889634
# (keys in a tile, warps, stages) for tiles of ROWS, for those with a tree, and for fewer rows.
LARGE = (128 if ROOMY else 64, 8, 2 if BLACKWELL else STAGES)
LARGE_TREE = (64 if ROOMY else 32, 8, 2)
SMALL = (64, 4, STAGES)


# Triton would compile separate kernels for layer 1 and for layers that 16 divides.
@triton.jit(do_not_specialize=['layer'])
def _sequence(
    query,
    fresh_keys,
    fresh_values,
    tree,
    table,
    part,
    lse,
    layer,
    tokens,
    scale,
    HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    TREE: tl.constexpr,
    PDL: tl.constexpr,
):
    """Attend from a tile of one sequence's new tokens to its segments and to the new tokens."""
    if PDL:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    GROUP: tl.constexpr = HEADS // KV_HEADS
    head = tl.program_id(1)
    split = tl.program_id(2)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    token = row // GROUP
    line = token * HEADS + head * GROUP + row % GROUP
    mask = token < tokens
    at = tl.arange(0, WIDTH)
    q = tl.load(query + line[:, None] * WIDTH + at[None, :], mask=mask[:, None], other=0.0)
    number = tl.load(table).to(tl.int32)
    cached, own = tl.load(table + 1).to(tl.int32), tl.load(table + 2).to(tl.int32)
    each = tl.cdiv(tl.cdiv(cached + own, tl.num_programs(2)), BLOCK) * BLOCK
    low = split * each
    high = tl.minimum(low + each, cached + own)
    best = tl.full([ROWS], float('-inf'), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    result = tl.zeros([ROWS, WIDTH], tl.float32)
    best, total, result = fold_segments(
        q,
        table + 4,
        number,
        low,
        tl.minimum(high, cached),
        layer,
        head,
        best,
        total,
        result,
        scale,
        KV_HEADS,
        WIDTH,
        BLOCK,
    )
    inner = tl.arange(0, BLOCK)
    # No row of this tile sees a token after the last one of the tile.
    last = tl.minimum(
        tl.minimum(high - cached, own), (tl.program_id(0) * ROWS + ROWS - 1) // GROUP + 1
    )
    if TREE:
        # See attention.Tree.
        begin = tl.load(tree + token, mask=mask, other=0).to(tl.int32)[:, None]
        before = tl.load(tree + tokens + token, mask=mask, other=0).to(tl.int32)[:, None]
        behind = tl.load(tree + 2 * tokens + token, mask=mask, other=0).to(tl.int32)[:, None]
    for start in range(tl.maximum(low - cached, 0), last, BLOCK):
        key = start + inner
        there = key < last
        seen = (key[None, :] <= token[:, None]) & there[None, :]
        if TREE:
            seen &= (key[None, :] >= begin) | ((key[None, :] >= before) & (key[None, :] < behind))
        place = (key * KV_HEADS + head)[:, None] * WIDTH + at[None, :]
        best, total, result = fold(
            q,
            fresh_keys + place,
            fresh_values + place,
            there,
            seen,
            best,
            total,
            result,
            scale,
            True,
        )
    write_part(
        part, lse, split.to(tl.int64) * tokens * HEADS + line, mask, best, total, result, WIDTH
    )


@triton.jit(do_not_specialize=['layer', 'batch'])
def _batch(
    query,
    table,
    order,
    part,
    lse,
    layer,
    batch,
    scale,
    HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    LINE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    SPLITS: tl.constexpr,
    PDL: tl.constexpr,
):
    """Attend from one token a branch: to shared prefixes together, to tails one by one."""
    GROUP: tl.constexpr = HEADS // KV_HEADS
    program = tl.program_id(0)
    head = tl.program_id(1)
    is_tail = program >= batch * SPLITS
    # Lines 0 to batch - 1 of the table are prefixes; the tails of all branches follow.
    entry = tl.where(is_tail, program - batch * (SPLITS - 1), program // SPLITS)
    split = tl.where(is_tail, SPLITS, program % SPLITS)
    table += entry * LINE
    number, keys = tl.load(table).to(tl.int32), tl.load(table + 1).to(tl.int32)
    begin, members = tl.load(table + 2).to(tl.int32), tl.load(table + 3).to(tl.int32)
    row = tl.arange(0, ROWS)
    mask = row < members * GROUP
    member = tl.load(order + begin + row // GROUP, mask=mask, other=0)
    line = member * HEADS + head * GROUP + row % GROUP
    at = tl.arange(0, WIDTH)
    each = tl.where(is_tail, keys, tl.cdiv(tl.cdiv(keys, SPLITS), BLOCK) * BLOCK)
    low = tl.where(is_tail, 0, split * each)
    high = tl.where(members > 0, tl.minimum(low + each, keys), low)
    if PDL:
        tl.extra.cuda.gdc_launch_dependents()
        # What is cached does not depend on the kernel before; the table is as old as the pass.
        if low < high:
            prefetch_tile(query, table + 4, low, layer, head, KV_HEADS, WIDTH, BLOCK)
        tl.extra.cuda.gdc_wait()
    q = tl.load(query + line[:, None] * WIDTH + at[None, :], mask=mask[:, None], other=0.0)
    best = tl.full([ROWS], float('-inf'), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    result = tl.zeros([ROWS, WIDTH], tl.float32)
    best, total, result = fold_segments(
        q,
        table + 4,
        number,
        low,
        high,
        layer,
        head,
        best,
        total,
        result,
        scale,
        KV_HEADS,
        WIDTH,
        BLOCK,
    )
    write_part(
        part, lse, split.to(tl.int64) * batch * HEADS + line, mask, best, total, result, WIDTH
    )


def attend_sequence(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    table: torch.Tensor,
    layer: int,
    kv_heads: int,
    splits: int,
    tree: torch.Tensor | None = None,
) -> torch.Tensor:
    """Attend from one sequence's new tokens to what is cached and to themselves.

    Args:
        query: rotated [n, heads, head_dim].
        keys: of the new tokens [n, kv_heads, head_dim]; values likewise.
        values: see keys.
        table: int64: segments, cached tokens, new tokens (at most n; the rest is padding), 0,
            and then four for every segment.
        layer: which one's.
        kv_heads: how many.
        splits: among how many programs the keys are split.
        tree: int64 [3 n], the rows of an ``attention.Tree`` with zeros for the padding; None:
            causal.

    Returns:
        [n, heads * head_dim].

    """
    n, heads, width = query.shape
    group = heads // kv_heads
    rows = min(ROWS, max(16, triton.next_power_of_2(n * group)))
    block, warps, stages = SMALL if rows < ROWS else LARGE if tree is None else LARGE_TREE
    single = splits == 1
    part = query.new_empty(splits, n, heads, width, dtype=query.dtype if single else torch.float32)
    lse = query.new_empty(splits, n, heads, dtype=torch.float32)
    scale = width**-0.5 * LOG2_E
    # With other ROWS here than there, Hopper cards would take this file's kernel.
    if HOPPER and tree is None and (rows, width) == (hopper.ROWS, hopper.WIDTH):
        hopper.attend_tiles(query, keys, values, table, part, lse, layer, kv_heads, scale)
    else:
        _sequence[(triton.cdiv(n * group, rows), kv_heads, splits)](
            query,
            keys,
            values,
            tree,
            table,
            part,
            lse,
            layer,
            n,
            scale,
            HEADS=heads,
            KV_HEADS=kv_heads,
            WIDTH=width,
            ROWS=rows,
            BLOCK=block,
            TREE=tree is not None,
            PDL=PDL,
            num_warps=warps,
            num_stages=stages,
            **launch_options(),
        )
    return part.view(n, heads * width) if single else merge(part, lse, query.dtype)


def attend_batch(
    query: torch.Tensor,
    table: torch.Tensor,
    order: torch.Tensor,
    layer: int,
    kv_heads: int,
    splits: int,
) -> torch.Tensor:
    """Attend from one new token of every branch to all that this branch sees.

    Args:
        query: rotated [batch, heads, head_dim].
        table: int64 [2 batch, line]: prefixes, then the branches' tails with the new token in
            them; each: segments, tokens, begin of its members in ``order``, how many these are,
            and then four for every segment.  Each branch is a member of one prefix and one tail.
        order: int64 [2 batch], branches.
        layer: which one's.
        kv_heads: how many.
        splits: among how many programs a prefix is split.

    Returns:
        [batch, heads * head_dim].

    """
    batch, heads, width = query.shape
    rows = max(16, triton.next_power_of_2(batch * (heads // kv_heads)))
    part = query.new_empty(splits + 1, batch, heads, width, dtype=torch.float32)
    lse = query.new_empty(splits + 1, batch, heads, dtype=torch.float32)
    _batch[(batch * splits + batch, kv_heads)](
        query,
        table,
        order,
        part,
        lse,
        layer,
        batch,
        width**-0.5 * LOG2_E,
        HEADS=heads,
        KV_HEADS=kv_heads,
        WIDTH=width,
        LINE=table.shape[1],
        ROWS=rows,
        BLOCK=BATCH_BLOCK,
        SPLITS=splits,
        PDL=PDL,
        num_warps=4,
        num_stages=STAGES if rows <= 64 else 2,
        **launch_options(),
    )
    return merge(part, lse, query.dtype)
