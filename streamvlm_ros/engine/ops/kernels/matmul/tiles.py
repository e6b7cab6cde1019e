# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What products of few rows share: loading of tiles, and the steps after the product."""

from __future__ import annotations

import triton
import triton.language as tl

from streamvlm_ros.engine.ops.kernels.launch import prefetch


@triton.jit
def load_columns(weight, column, columns, inner, depth, EVEN: tl.constexpr):
    """Load a tile of weights [COLUMNS, DEPTH]."""
    at = weight + column.to(tl.int64)[:, None] * depth + inner[None, :]
    mask = (column < columns)[:, None]
    if not EVEN:
        mask = mask & (inner < depth)[None, :]
    return tl.load(at, mask=mask, other=0.0)


@triton.jit
def wait(
    weight,
    other,
    column,
    columns,
    depth,
    DEPTH: tl.constexpr,
    GATED: tl.constexpr,
    PDL: tl.constexpr,
):
    """Wait for what the kernel before writes; prefetch weights until then."""
    if PDL:
        tl.extra.cuda.gdc_launch_dependents()
        if depth > DEPTH:
            _ask_for(weight, column, columns, depth, DEPTH)
            if GATED:
                _ask_for(other, column, columns, depth, DEPTH)
        tl.extra.cuda.gdc_wait()


@triton.jit
def _ask_for(weight, column, columns, depth, DEPTH: tl.constexpr):
    """Prefetch the second tile of weights, as far as it exists."""
    line = DEPTH + 64 * tl.arange(0, DEPTH // 64)
    safe = tl.minimum(column, columns - 1).to(tl.int64)
    prefetch(weight + safe[:, None] * depth + tl.minimum(line, depth - 1)[None, :])


@triton.jit
def load_rows(x, norm, squares, row, rows, inner, depth, EVEN: tl.constexpr, NORM: tl.constexpr):
    """Load a tile of x [ROWS, DEPTH], times the norm's weight; sum its squares."""
    mask = (row < rows)[:, None]
    if not EVEN:
        mask = mask & (inner < depth)[None, :]
    tile = tl.load(x + row[:, None] * depth + inner[None, :], mask=mask, other=0.0)
    if NORM:
        scale = tl.load(norm + inner, mask=inner < depth, other=0.0).to(tl.float32)
        wide = tile.to(tl.float32)
        squares += tl.sum(wide * wide, 1)
        tile = (wide * scale[None, :]).to(tile.dtype)
    return tile, squares


@triton.jit
def _load_scales(scale, column, columns):
    """Load the scales of whole rows of weights [1, COLUMNS]."""
    return tl.load(scale + column, mask=column < columns, other=0.0).to(tl.float32)[None, :]


@triton.jit
def finish(
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
    SCALED: tl.constexpr,
    NORM: tl.constexpr,
    GATED: tl.constexpr,
    BIAS: tl.constexpr,
    RESIDUAL: tl.constexpr,
):
    """Apply the steps after a product [ROWS, COLUMNS], and write the result.

    SCALED: weights have one scale a row, and the gate's rows come first.
    """
    if SCALED:
        result *= _load_scales(scale, column, columns)
        if GATED:
            gated *= _load_scales(scale + columns, column, columns)
    if NORM:
        factor = tl.rsqrt(squares / depth + epsilon)[:, None]
        result = result * factor
        gated = gated * factor
    if BIAS:
        result += tl.load(bias + column, mask=column < columns, other=0.0).to(tl.float32)[None, :]
    if GATED:
        result = result * tl.sigmoid(result) * gated
    at = row.to(tl.int64)[:, None] * columns + column[None, :]
    mask = (row < rows)[:, None] & (column < columns)[None, :]
    if RESIDUAL:
        result += tl.load(residual + at, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + at, result.to(out.dtype.element_ty), mask=mask)
