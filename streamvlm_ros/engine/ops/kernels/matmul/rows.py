# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Matrix products of few rows, which are as fast as the weights can be read.

The steps before and after a product are in the same kernel: RMSNorm before it; bias, residual or
the gate of an MLP after it.  The norm's factor is one number a row, so the sum of squares is
taken while the product runs and multiplied in at its end; the scales of weights in 8 bits, one
number a column, likewise.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from streamvlm_ros.engine.ops.kernels.launch import launch_options, MOST_STAGES, PDL
from streamvlm_ros.engine.ops.kernels.matmul import int4
from streamvlm_ros.engine.ops.kernels.matmul.tiles import finish, load_columns, load_rows, wait
from streamvlm_ros.engine.ops.kernels.matmul.unpack import whole
from streamvlm_ros.engine.ops.quantization import QuantizedWeight
from streamvlm_ros.engine.ops.weights import Weight

# Most rows for these kernels; with more rows the library's products are as fast.
MOST_ROWS = 64


@triton.jit
def _multiply(seen, tile, result, EXACT_BITS: tl.constexpr):
    """Add the product of x [ROWS, DEPTH] with weights [COLUMNS, DEPTH]."""
    if tile.dtype == seen.dtype:
        return tl.dot(seen, tl.trans(tile), result)
    # Numbers that are converted in registers are multiplied from registers.
    return tl.trans(tl.dot(whole(tile, seen.dtype, EXACT_BITS), tl.trans(seen), tl.trans(result)))


# One kernel for all numbers of rows that ROWS covers, whether 16 divides them or not.
@triton.jit(do_not_specialize=['rows'])
def _skinny(
    x,
    weight,
    scale,
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
    DEPTH: tl.constexpr,
    EVEN: tl.constexpr,
    NORM: tl.constexpr,
    GATED: tl.constexpr,
    BIAS: tl.constexpr,
    RESIDUAL: tl.constexpr,
    SCALED: tl.constexpr,
    EXACT_BITS: tl.constexpr,
    PDL: tl.constexpr,
):
    """Write out[rows, columns] = x[rows, depth] @ weight[columns, depth].T with what is around it.

    Several rows are normalized before: otherwise each program would do it again for all rows.
    """
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    row = tl.arange(0, ROWS)
    inner = tl.arange(0, DEPTH)
    other = weight + columns.to(tl.int64) * depth  # the up-projection, after the gate's rows
    # Weights do not depend on the kernel before: the first tile is loaded before that one ends.
    tile = load_columns(weight, column, columns, inner, depth, EVEN)
    if GATED:
        up = load_columns(other, column, columns, inner, depth, EVEN)
    wait(weight, other, column, columns, depth, DEPTH, GATED, PDL)
    squares = tl.zeros([ROWS], tl.float32)
    result = tl.zeros([ROWS, COLUMNS], tl.float32)
    gated = tl.zeros([ROWS, COLUMNS], tl.float32)
    seen, _ = load_rows(x, norm, squares, row, rows, inner, depth, EVEN, False)
    result = _multiply(seen, tile, result, EXACT_BITS)
    if GATED:
        gated = _multiply(seen, up, gated, EXACT_BITS)
    for start in range(DEPTH, depth, DEPTH):
        tile = load_columns(weight, column, columns, start + inner, depth, EVEN)
        seen, _ = load_rows(x, norm, squares, row, rows, start + inner, depth, EVEN, False)
        result = _multiply(seen, tile, result, EXACT_BITS)
        if GATED:
            up = load_columns(other, column, columns, start + inner, depth, EVEN)
            gated = _multiply(seen, up, gated, EXACT_BITS)
    finish(
        scale,
        bias,
        residual,
        out,
        result,
        gated,
        squares,
        row,
        rows,
        column,
        columns,
        depth,
        epsilon,
        SCALED,
        False,
        GATED,
        BIAS,
        RESIDUAL,
    )


@triton.jit
def _single(
    x,
    weight,
    scale,
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
    DEPTH: tl.constexpr,
    EVEN: tl.constexpr,
    NORM: tl.constexpr,
    GATED: tl.constexpr,
    BIAS: tl.constexpr,
    RESIDUAL: tl.constexpr,
    SCALED: tl.constexpr,
    EXACT_BITS: tl.constexpr,
    PDL: tl.constexpr,
):
    """Do what ``_skinny`` does for one row, without matrix units."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    row = tl.arange(0, 1)
    inner = tl.arange(0, DEPTH)
    other = weight + columns.to(tl.int64) * depth
    tile = load_columns(weight, column, columns, inner, depth, EVEN)
    if GATED:
        up = load_columns(other, column, columns, inner, depth, EVEN)
    wait(weight, other, column, columns, depth, DEPTH, GATED, PDL)
    squares = tl.zeros([1], tl.float32)
    seen, squares = load_rows(x, norm, squares, row, rows, inner, depth, EVEN, NORM)
    result = whole(tile, tl.float32, EXACT_BITS) * seen.to(tl.float32)
    gated = tl.zeros([COLUMNS, DEPTH], tl.float32)
    if GATED:
        gated = whole(up, tl.float32, EXACT_BITS) * seen.to(tl.float32)
    for start in range(DEPTH, depth, DEPTH):
        tile = load_columns(weight, column, columns, start + inner, depth, EVEN)
        if GATED:
            up = load_columns(other, column, columns, start + inner, depth, EVEN)
        seen, squares = load_rows(x, norm, squares, row, rows, start + inner, depth, EVEN, NORM)
        result += whole(tile, tl.float32, EXACT_BITS) * seen.to(tl.float32)
        if GATED:
            gated += whole(up, tl.float32, EXACT_BITS) * seen.to(tl.float32)
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
        squares,
        row,
        rows,
        column,
        columns,
        depth,
        epsilon,
        SCALED,
        NORM,
        GATED,
        BIAS,
        RESIDUAL,
    )


# (columns, depth, warps, stages) of a program, by bits and rows, found by
# benchmark/quantization/tune_matmul.py; in 4 bits the depth is in bytes, and of several rows that
# of a group.
TILES = {
    16: {1: (4, 1024, 4, 1), 16: (32, 128, 4, 6), 32: (32, 128, 4, 6), 64: (32, 128, 4, 6)},
    8: {1: (4, 1024, 4, 1), 16: (32, 256, 4, 4), 32: (32, 128, 4, 4), 64: (32, 256, 4, 4)},
    4: {1: (4, 1024, 4, 1), 16: (64, 128, 4, 3), 32: (64, 128, 4, 3), 64: (64, 128, 4, 4)},
}
GATED_TILES = {
    16: {1: (4, 1024, 4, 1), 16: (32, 128, 4, 4), 32: (64, 128, 4, 4), 64: (32, 128, 4, 6)},
    8: {1: (4, 512, 2, 1), 16: (32, 128, 4, 4), 32: (32, 128, 4, 4), 64: (64, 128, 4, 4)},
    4: {1: (8, 256, 4, 1), 16: (64, 128, 4, 3), 32: (64, 128, 4, 3), 64: (16, 128, 4, 4)},
}
# For products of this many rows that are wide enough to keep all multiprocessors busy.
WIDE_ROWS, WIDE_COLUMNS, WIDE_TILE = 32, 3072, (16, 256, 4, 5)


def skinny_matmul(
    x: torch.Tensor,
    weight: Weight,
    *,
    bias: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    norm: torch.Tensor | None = None,
    epsilon: float = 0.0,
    gated: bool = False,
    tile: tuple[int, int, int, int] | None = None,
) -> torch.Tensor:
    """Multiply few rows by weights.

    Args:
        x: [rows, depth], at most ``MOST_ROWS`` rows, contiguous.
        weight: [columns, depth], contiguous; gated: [2 columns, depth], the gate's rows first.
        bias: [columns], added to the product.
        residual: [rows, columns], added to the result.
        norm: [depth], the weight of an RMSNorm that is applied to x first; for one row only.
        epsilon: of that norm.
        gated: return silu(x @ gate.T) * (x @ up.T).
        tile: columns, depth, warps and stages of a program, to measure others than the built-in.

    Returns:
        [rows, columns] in the dtype of x.

    """
    rows, depth = x.shape
    columns = weight.shape[0] // (2 if gated else 1)
    padded = 1 if rows == 1 else max(16, triton.next_power_of_2(rows))
    assert norm is None or rows == 1
    numbers, scale, bits = (
        (weight.numbers, weight.scale, weight.bits)
        if isinstance(weight, QuantizedWeight)
        else (weight, None, 16)
    )
    wide = padded == WIDE_ROWS and columns >= WIDE_COLUMNS and not gated and bits == 16
    width, inner, warps, stages = tile or (
        WIDE_TILE if wide else (GATED_TILES if gated else TILES)[bits][padded]
    )
    own: dict[str, Any]
    factors: tuple[torch.Tensor | None, ...] = (scale,)
    if isinstance(weight, QuantizedWeight) and bits == 4:
        assert scale is not None
        factors = scale, weight.zero
        kernel = int4.single if rows == 1 else int4.several
        own = {'GROUP': depth // scale.shape[1], 'ZEROS': weight.zero is not None}
        if rows == 1:
            own['GROUPS'] = max(1, inner // own['GROUP'])
    else:
        kernel = _single if rows == 1 else _skinny
        own = {'DEPTH': inner, 'EVEN': depth % inner == 0, 'SCALED': scale is not None}
    out = x.new_empty(rows, columns)
    kernel[(triton.cdiv(columns, width),)](
        x,
        numbers,
        *factors,
        bias,
        residual,
        norm,
        out,
        rows,
        columns,
        depth,
        epsilon,
        ROWS=padded,
        COLUMNS=width,
        NORM=norm is not None,
        GATED=gated,
        BIAS=bias is not None,
        RESIDUAL=residual is not None,
        EXACT_BITS=x.dtype == torch.bfloat16 and x.is_cuda,
        PDL=PDL,
        **own,
        num_warps=warps,
        num_stages=min(stages, MOST_STAGES),
        **launch_options(),
    )
    return out
