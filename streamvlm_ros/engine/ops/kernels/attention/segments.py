# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Attention over segments of ``KVBuffer``s that are read in place, and over new tokens.

A segment is four int64: the buffer's address and slots, first slot, one past the last.  How many
there are, and how long, stands on the device: one launch, captured once, serves any length.  The
keys are split among programs, whose results ``merge`` joins by their log-sum-exp.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from streamvlm_ros.engine.ops.kernels.attention.merge import merge
from streamvlm_ros.engine.ops.kernels.launch import (
    BLACKWELL,
    HOPPER,
    launch_options,
    PDL,
    prefetch,
    ROOMY,
    STAGES,
)

if HOPPER:
    from streamvlm_ros.engine.ops.kernels.attention import hopper

LOG2_E = 1.4426950408889634
# (keys in a tile, warps, stages) for tiles of 128 rows, for those with a tree, and for fewer rows.
LARGE = (128 if ROOMY else 64, 8, 2 if BLACKWELL else STAGES)
LARGE_TREE = (64 if ROOMY else 32, 8, 2)
SMALL = (64, 4, STAGES)


@triton.jit
def _fold(query, keys, values, there, seen, best, total, result, scale, MASKED: tl.constexpr):
    """Fold a tile of keys and values, pointers [BLOCK, head_dim], into an online softmax.

    ``there`` [BLOCK] is what can be loaded, ``seen`` [rows, BLOCK] or [1, BLOCK] what is looked
    at; where MASKED is False everything is.
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
        # A row that has seen nothing yet stays at nothing.
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
def _fold_segments(
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
    """Fold the keys from ``low`` to before ``high``, counted over all segments."""
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
        # Only the place of a layer and a head can be beyond 32 bits.
        # That a number from memory is an aligned address has to be said.
        base = tl.multiple_of(address.to(tl.pointer_type(dtype)), 16)
        keys = base + (layer * 2 * KV_HEADS + head) * slots * WIDTH
        values = keys + KV_HEADS * slots * WIDTH
        whole = first + tl.maximum(last - first, 0) // BLOCK * BLOCK
        place = (first + inner)[:, None] * WIDTH + at[None, :]
        for _ in range(first, whole, BLOCK):
            best, total, result = _fold(
                query, keys + place, values + place, None, None, best, total, result, scale, False
            )
            place += BLOCK * WIDTH
        if whole < last:
            there = whole + inner < last
            best, total, result = _fold(
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
def _ask_for_tile(
    query,
    segments,
    low,
    layer,
    head,
    KV_HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Have the tile at ``low`` brought near, where it is in the first segment."""
    address, slots = tl.load(segments), tl.load(segments + 1)
    start, end = tl.load(segments + 2), tl.load(segments + 3)
    slot = tl.minimum(start + low + tl.arange(0, BLOCK), end - 1)
    keys = address.to(query.dtype) + (layer * 2 * KV_HEADS + head) * slots * WIDTH
    place = slot[:, None] * WIDTH + 64 * tl.arange(0, WIDTH // 64)[None, :]
    prefetch(keys + place)
    prefetch(keys + KV_HEADS * slots * WIDTH + place)


@triton.jit
def _write(part, lse, line, mask, best, total, result, WIDTH: tl.constexpr):
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


# Triton would compile apart for layer 1, and for those that 16 divides.
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
    """Attend from a tile of one sequence's new tokens to its segments, and to the new ones."""
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
    best, total, result = _fold_segments(
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
    # No row of this tile sees a token behind its own last one.
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
        best, total, result = _fold(
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
    _write(part, lse, split.to(tl.int64) * tokens * HEADS + line, mask, best, total, result, WIDTH)


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
    """Attend from one new token a branch: prefixes by those who share them, tails one by one."""
    GROUP: tl.constexpr = HEADS // KV_HEADS
    program = tl.program_id(0)
    head = tl.program_id(1)
    is_tail = program >= batch * SPLITS
    # Lines 0 to batch - 1 of the table are prefixes, the tails of all branches come behind them.
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
            _ask_for_tile(query, table + 4, low, layer, head, KV_HEADS, WIDTH, BLOCK)
        tl.extra.cuda.gdc_wait()
    q = tl.load(query + line[:, None] * WIDTH + at[None, :], mask=mask[:, None], other=0.0)
    best = tl.full([ROWS], float('-inf'), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    result = tl.zeros([ROWS, WIDTH], tl.float32)
    best, total, result = _fold_segments(
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
    _write(part, lse, split.to(tl.int64) * batch * HEADS + line, mask, best, total, result, WIDTH)


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
    rows = min(128, max(16, triton.next_power_of_2(n * group)))
    block, warps, stages = SMALL if rows < 128 else LARGE if tree is None else LARGE_TREE
    single = splits == 1
    part = query.new_empty(splits, n, heads, width, dtype=query.dtype if single else torch.float32)
    lse = query.new_empty(splits, n, heads, dtype=torch.float32)
    scale = width**-0.5 * LOG2_E
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
    """Attend from one new token of every branch to what that branch sees.

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
        BLOCK=64,
        SPLITS=splits,
        PDL=PDL,
        num_warps=4,
        num_stages=STAGES if rows <= 64 else 2,
        **launch_options(),
    )
    return merge(part, lse, query.dtype)
