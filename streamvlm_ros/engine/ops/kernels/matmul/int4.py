# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Matrix products of few rows with weights in 4 bits; see ``quantized.QuantizedWeight``.

A byte holds a number of the row's first half and one of its second, so that a tile of bytes is two
tiles of weights as they lie, each GROUP values of which share a scale and, with ZEROS, a zero
point.  What a zero point takes off a product is itself times the sum of x over its group.
"""

from __future__ import annotations

import triton
import triton.language as tl

from streamvlm_ros.engine.ops.kernels.matmul.tiles import finish, load_columns, load_rows, wait
from streamvlm_ros.engine.ops.kernels.matmul.unpack import lower, upper


@triton.jit
def _group_scales(scale, column, columns, group, groups):
    """Load the scales, or the zero points, of one group of some rows of weights [COLUMNS, 1]."""
    at = scale + column * groups + group
    return tl.load(at, mask=column < columns, other=0.0).to(tl.float32)[:, None]


@triton.jit
def _fold(result, numbers, scale, zero, column, columns, group, groups, seen, ZEROS: tl.constexpr):
    """Add to [COLUMNS, ROWS] a group's numbers [COLUMNS, GROUP] times x [ROWS, GROUP]."""
    product = tl.dot(numbers, tl.trans(seen))
    if ZEROS:
        total = tl.sum(seen.to(tl.float32), 1)[None, :]
        product -= _group_scales(zero, column, columns, group, groups) * total
    return result + product * _group_scales(scale, column, columns, group, groups)


@triton.jit
def _fold_pair(
    result,
    tile,
    scale,
    zero,
    column,
    columns,
    group,
    groups,
    first,
    second,
    ZEROS: tl.constexpr,
    EXACT_BITS: tl.constexpr,
):
    """Add to [COLUMNS, ROWS] bytes [COLUMNS, GROUP] times x's halves [ROWS, GROUP].

    Numbers that are unpacked in registers are multiplied from there.
    """
    low, high = lower(tile, first.dtype, EXACT_BITS), upper(tile, first.dtype, EXACT_BITS)
    result = _fold(result, low, scale, zero, column, columns, group, groups, first, ZEROS)
    group += groups // 2
    return _fold(result, high, scale, zero, column, columns, group, groups, second, ZEROS)


# As in matmul.py: one for all numbers of rows.
@triton.jit(do_not_specialize=['rows'])
def several(
    x,
    weight,
    scale,
    zero,
    bias,
    residual,
    norm,
    out,
    rows,
    columns,
    depth,
    epsilon,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    GROUP: tl.constexpr,
    NORM: tl.constexpr,
    GATED: tl.constexpr,
    BIAS: tl.constexpr,
    RESIDUAL: tl.constexpr,
    ZEROS: tl.constexpr,
    EXACT_BITS: tl.constexpr,
    PDL: tl.constexpr,
):
    """Do what ``matmul._skinny`` does."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    row = tl.arange(0, ROWS)
    inner = tl.arange(0, GROUP)
    half, groups = depth // 2, depth // GROUP
    other, other_scale = weight + columns.to(tl.int64) * half, scale + columns * groups
    other_zero = zero
    if ZEROS:
        other_zero = zero + columns * groups
    tile = load_columns(weight, column, columns, inner, half, True)
    if GATED:
        up = load_columns(other, column, columns, inner, half, True)
    if PDL:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    squares = tl.zeros([ROWS], tl.float32)
    result = tl.zeros([COLUMNS, ROWS], tl.float32)
    gated = tl.zeros([COLUMNS, ROWS], tl.float32)
    first, _ = load_rows(x, norm, squares, row, rows, inner, depth, True, False)
    second, _ = load_rows(x, norm, squares, row, rows, half + inner, depth, True, False)
    result = _fold_pair(
        result, tile, scale, zero, column, columns, 0, groups, first, second, ZEROS, EXACT_BITS
    )
    if GATED:
        gated = _fold_pair(
            gated,
            up,
            other_scale,
            other_zero,
            column,
            columns,
            0,
            groups,
            first,
            second,
            ZEROS,
            EXACT_BITS,
        )
    for group in range(1, groups // 2):
        at = group * GROUP + inner
        tile = load_columns(weight, column, columns, at, half, True)
        first, _ = load_rows(x, norm, squares, row, rows, at, depth, True, False)
        second, _ = load_rows(x, norm, squares, row, rows, half + at, depth, True, False)
        result = _fold_pair(
            result,
            tile,
            scale,
            zero,
            column,
            columns,
            group,
            groups,
            first,
            second,
            ZEROS,
            EXACT_BITS,
        )
        if GATED:
            up = load_columns(other, column, columns, at, half, True)
            gated = _fold_pair(
                gated,
                up,
                other_scale,
                other_zero,
                column,
                columns,
                group,
                groups,
                first,
                second,
                ZEROS,
                EXACT_BITS,
            )
    finish(
        scale,
        bias,
        residual,
        out,
        tl.trans(result),
        tl.trans(gated),
        squares,
        row,
        rows,
        column,
        columns,
        depth,
        epsilon,
        False,
        False,
        GATED,
        BIAS,
        RESIDUAL,
    )


@triton.jit
def _bytes(weight, column, columns, group, inner, half, GROUP: tl.constexpr):
    """Load bytes [COLUMNS, GROUPS, GROUP]."""
    at = weight + column.to(tl.int64)[:, None, None] * half + inner[None, :, :]
    mask = (column < columns)[:, None, None] & (group * GROUP < half)[None, :, None]
    return tl.load(at, mask=mask, other=0)


@triton.jit
def _grouped(numbers, scale, zero, at, mask, seen, ZEROS: tl.constexpr):
    """Return the products of numbers [COLUMNS, GROUPS, GROUP] with x [GROUPS, GROUP], by group."""
    product = tl.sum(numbers * seen[None, :, :], 2)
    if ZEROS:
        zeros = tl.load(zero + at, mask=mask, other=0).to(tl.float32)
        product -= zeros * tl.sum(seen, 1)[None, :]
    return product * tl.load(scale + at, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _scaled(
    tile,
    scale,
    zero,
    column,
    columns,
    group,
    groups,
    first,
    second,
    ZEROS: tl.constexpr,
    EXACT_BITS: tl.constexpr,
):
    """Return the products of a tile of bytes with one row's halves [GROUPS, GROUP], by group."""
    mask = (column < columns)[:, None] & (group < groups // 2)[None, :]
    at = column[:, None] * groups + group[None, :]
    low, high = lower(tile, tl.float32, EXACT_BITS), upper(tile, tl.float32, EXACT_BITS)
    return _grouped(low, scale, zero, at, mask, first, ZEROS) + _grouped(
        high, scale, zero, at + groups // 2, mask, second, ZEROS
    )


@triton.jit
def _half_row(x, norm, squares, inner, group, groups, NORM: tl.constexpr):
    """Load [GROUPS, GROUP] of the row, times the norm's weight; add its squares up."""
    mask = (group < groups // 2)[:, None]
    part = tl.load(x + inner, mask=mask, other=0.0).to(tl.float32)
    if NORM:
        squares += part * part
        part *= tl.load(norm + inner, mask=mask, other=0.0).to(tl.float32)
    return part, squares


@triton.jit
def single(
    x,
    weight,
    scale,
    zero,
    bias,
    residual,
    norm,
    out,
    rows,
    columns,
    depth,
    epsilon,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    GROUP: tl.constexpr,
    GROUPS: tl.constexpr,
    NORM: tl.constexpr,
    GATED: tl.constexpr,
    BIAS: tl.constexpr,
    RESIDUAL: tl.constexpr,
    ZEROS: tl.constexpr,
    EXACT_BITS: tl.constexpr,
    PDL: tl.constexpr,
):
    """Do what ``matmul._single`` does, GROUPS groups of both halves at a time."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    row = tl.arange(0, 1)
    half, groups = depth // 2, depth // GROUP
    other, other_scale = weight + columns.to(tl.int64) * half, scale + columns * groups
    other_zero = zero
    if ZEROS:
        other_zero = zero + columns * groups
    group = tl.arange(0, GROUPS)
    inner = group[:, None] * GROUP + tl.arange(0, GROUP)[None, :]
    tile = _bytes(weight, column, columns, group, inner, half, GROUP)
    if GATED:
        up = _bytes(other, column, columns, group, inner, half, GROUP)
    wait(weight, other, column, columns, half, GROUPS * GROUP, GATED, PDL)
    squares = tl.zeros([GROUPS, GROUP], tl.float32)
    first, squares = _half_row(x, norm, squares, inner, group, groups, NORM)
    second, squares = _half_row(x, norm, squares, half + inner, group, groups, NORM)
    result = _scaled(
        tile, scale, zero, column, columns, group, groups, first, second, ZEROS, EXACT_BITS
    )
    gated = tl.zeros([COLUMNS, GROUPS], tl.float32)
    if GATED:
        gated = _scaled(
            up,
            other_scale,
            other_zero,
            column,
            columns,
            group,
            groups,
            first,
            second,
            ZEROS,
            EXACT_BITS,
        )
    for start in range(GROUPS, groups // 2, GROUPS):
        at, of = start * GROUP + inner, start + group
        tile = _bytes(weight, column, columns, of, at, half, GROUP)
        if GATED:
            up = _bytes(other, column, columns, of, at, half, GROUP)
        first, squares = _half_row(x, norm, squares, at, of, groups, NORM)
        second, squares = _half_row(x, norm, squares, half + at, of, groups, NORM)
        result += _scaled(
            tile, scale, zero, column, columns, of, groups, first, second, ZEROS, EXACT_BITS
        )
        if GATED:
            gated += _scaled(
                up,
                other_scale,
                other_zero,
                column,
                columns,
                of,
                groups,
                first,
                second,
                ZEROS,
                EXACT_BITS,
            )
    product = tl.sum(result, 1)[None, :]
    gate = product
    if GATED:
        gate = tl.sum(gated, 1)[None, :]
    finish(
        scale,
        bias,
        residual,
        out,
        product,
        gate,
        tl.zeros([1], tl.float32) + tl.sum(squares),
        row,
        rows,
        column,
        columns,
        depth,
        epsilon,
        False,
        NORM,
        GATED,
        BIAS,
        RESIDUAL,
    )
