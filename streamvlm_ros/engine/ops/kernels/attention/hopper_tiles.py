# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The tiles that a program of ``hopper.py`` attends to: which come next, and their loading.

``seen`` is the tuple (table, its segments, tokens cached, new tokens of the rows here, the
program's first key and its last, layer, head, new keys, new values), ``table`` as for
``segments.attend_sequence``.
"""

from __future__ import annotations

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import async_copy, mbarrier

# Before all new tokens.
CACHED = gl.constexpr(-(1 << 30))


@gluon.jit
def _segment(index, passed, seen, KV_HEADS: gl.constexpr, WIDTH: gl.constexpr):
    """Return a segment's keys, values and their stride, the first slot, the last, keys passed.

    The new tokens come after the table's segments.
    """
    table, number, cached, own, low, high, layer, head, fresh_keys, fresh_values = seen
    if index < number:
        line = table + 4 + 4 * index
        slots = gl.load(line + 1)
        start, end = gl.load(line + 2).to(gl.int32), gl.load(line + 3).to(gl.int32)
        keys = gl.load(line).to(fresh_keys.dtype) + (layer * 2 * KV_HEADS + head) * slots * WIDTH
        values = keys + KV_HEADS * slots * WIDTH
        stride = WIDTH + 0 * index
        first = start + gl.maximum(low - passed, 0)
        last = start + gl.minimum(high - passed, end - start)
        passed += end - start
    else:
        keys = fresh_keys + (head * WIDTH).to(gl.int64)
        values = fresh_values + (head * WIDTH).to(gl.int64)
        stride = KV_HEADS * WIDTH + 0 * index
        first = gl.maximum(low - cached, 0)
        last = own + 0 * index
        passed += 0
    return keys, values, stride, first, last, passed


@gluon.jit
def before_first(seen, WIDTH: gl.constexpr, BLOCK: gl.constexpr):
    """Return the place before the first tile, for ``next_tile``."""
    number = seen[1]
    # Values apart, though equal: what is one value before a loop stays one in it.
    return (
        seen[8],
        seen[9],
        number * 0 + WIDTH,
        number * 0 - BLOCK,
        number * 0 - BLOCK,
        number * 0,
        number * 0 - 1,
    )


@gluon.jit
def next_tile(place, seen, KV_HEADS: gl.constexpr, WIDTH: gl.constexpr, BLOCK: gl.constexpr):
    """Return the next tile's place, how many keys it has, and the new token that is its first."""
    keys, values, stride, at, last, passed, index = place
    at += BLOCK
    while (at >= last) & (index < seen[1]):
        index += 1
        keys, values, stride, at, last, passed = _segment(index, passed, seen, KV_HEADS, WIDTH)
    count = gl.maximum(gl.minimum(last - at, BLOCK), 0)
    fresh = gl.where(index == seen[1], at, CACHED)
    return (keys, values, stride, at, last, passed, index), count, fresh


@gluon.jit
def count_tiles(seen, KV_HEADS: gl.constexpr, WIDTH: gl.constexpr, BLOCK: gl.constexpr):
    """Return how many tiles there are."""
    tiles = seen[1] * 0
    passed = seen[1] * 0
    for index in range(seen[1] + 1):
        _, _, _, first, last, passed = _segment(index, passed, seen, KV_HEADS, WIDTH)
        tiles += gl.cdiv(gl.maximum(last - first, 0), BLOCK)
    return tiles


@gluon.jit
def _copy(
    base, at, stride, count, into, WARPS: gl.constexpr, WIDTH: gl.constexpr, BLOCK: gl.constexpr
):
    """Begin to copy a tile of rows to shared memory; rows from ``count`` on are zeros."""
    layout: gl.constexpr = gl.BlockedLayout([1, 8], [2, 16], [WARPS, 1], [1, 0])
    row = gl.arange(0, BLOCK, layout=gl.SliceLayout(1, layout))
    column = gl.arange(0, WIDTH, layout=gl.SliceLayout(0, layout))
    # The compiler has to be told that a number from memory is an aligned address.
    begin = gl.multiple_of(base + (at * stride).to(gl.int64), 16)
    places = begin + (row[:, None] * gl.multiple_of(stride, 16) + column[None, :])
    async_copy.async_copy_global_to_shared(into, places, mask=(row < count)[:, None])


@gluon.jit
def load_tiles(
    shared,
    seen,
    tiles,
    KV_HEADS: gl.constexpr,
    WIDTH: gl.constexpr,
    BLOCK: gl.constexpr,
    STAGES: gl.constexpr,
    WARPS: gl.constexpr,
):
    """Load all tiles, each as soon as its slot's last tile has been read."""
    _, keys, values, keys_there, keys_read, values_there, values_read = shared
    place = before_first(seen, WIDTH, BLOCK)
    slot, parity = tiles * 0, tiles * 0 + 1
    for _ in range(tiles):
        place, count, _ = next_tile(place, seen, KV_HEADS, WIDTH, BLOCK)
        mbarrier.wait(keys_read.index(slot), parity)
        _copy(place[0], place[3], place[2], count, keys.index(slot), WARPS, WIDTH, BLOCK)
        async_copy.mbarrier_arrive(keys_there.index(slot), increment_count=False)
        mbarrier.wait(values_read.index(slot), parity)
        _copy(place[1], place[3], place[2], count, values.index(slot), WARPS, WIDTH, BLOCK)
        async_copy.mbarrier_arrive(values_there.index(slot), increment_count=False)
        slot += 1
        if slot == STAGES:
            slot = tiles * 0
            parity ^= 1
