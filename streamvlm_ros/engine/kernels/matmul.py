# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Matrix products of few rows, which are as fast as the weights can be read.

What stands before and behind a product is in the same kernel: RMSNorm before it; bias, residual or
the gate of an MLP behind it.  The norm's factor is one number a row, so the sum of squares is
taken while the product runs and multiplied in at its end.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from streamvlm_ros.engine.kernels.launch import launch_options, PDL

# Rows up to which these kernels are used; beyond, the library's products are as fast.
MOST_ROWS = 64


@triton.jit
def _columns(weight, column, columns, inner, depth, EVEN: tl.constexpr):
    """Load a tile of weights [COLUMNS, DEPTH]."""
    at = weight + column.to(tl.int64)[:, None] * depth + inner[None, :]
    mask = (column < columns)[:, None]
    if not EVEN:
        mask = mask & (inner < depth)[None, :]
    return tl.load(at, mask=mask, other=0.0)


@triton.jit
def _rows(x, norm, squares, row, rows, inner, depth, EVEN: tl.constexpr, NORM: tl.constexpr):
    """Load a tile of x [ROWS, DEPTH], times the norm's weight; add its squares up."""
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
def _skinny(x, weight, bias, residual, norm, out, rows, columns, depth, epsilon,
            ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, EVEN: tl.constexpr,
            NORM: tl.constexpr, GATED: tl.constexpr, BIAS: tl.constexpr, RESIDUAL: tl.constexpr,
            PDL: tl.constexpr):
    """Write out[rows, columns] = norm(x)[rows, depth] @ weight[columns, depth].T and so on."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    row = tl.arange(0, ROWS)
    inner = tl.arange(0, DEPTH)
    other = weight + columns.to(tl.int64) * depth  # the up-projection, behind the gate's rows
    # Weights do not depend on the kernel before: the first tile is on its way before that ends.
    tile = _columns(weight, column, columns, inner, depth, EVEN)
    if GATED:
        up = _columns(other, column, columns, inner, depth, EVEN)
    if PDL:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    squares = tl.zeros([ROWS], tl.float32)
    result = tl.zeros([ROWS, COLUMNS], tl.float32)
    gated = tl.zeros([ROWS, COLUMNS], tl.float32)
    seen, squares = _rows(x, norm, squares, row, rows, inner, depth, EVEN, NORM)
    result = tl.dot(seen, tl.trans(tile), result)
    if GATED:
        gated = tl.dot(seen, tl.trans(up), gated)
    for start in range(DEPTH, depth, DEPTH):
        tile = _columns(weight, column, columns, start + inner, depth, EVEN)
        seen, squares = _rows(x, norm, squares, row, rows, start + inner, depth, EVEN, NORM)
        result = tl.dot(seen, tl.trans(tile), result)
        if GATED:
            up = _columns(other, column, columns, start + inner, depth, EVEN)
            gated = tl.dot(seen, tl.trans(up), gated)
    _finish(bias, residual, out, result, gated, squares, row, rows, column, columns, depth,
            epsilon, NORM, GATED, BIAS, RESIDUAL)


@triton.jit
def _finish(bias, residual, out, result, gated, squares, row, rows, column, columns, depth,
            epsilon, NORM: tl.constexpr, GATED: tl.constexpr, BIAS: tl.constexpr,
            RESIDUAL: tl.constexpr):
    """Do what stands behind a product [ROWS, COLUMNS], and write it."""
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


@triton.jit
def _single(x, weight, bias, residual, norm, out, rows, columns, depth, epsilon,
            ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, EVEN: tl.constexpr,
            NORM: tl.constexpr, GATED: tl.constexpr, BIAS: tl.constexpr, RESIDUAL: tl.constexpr,
            PDL: tl.constexpr):
    """Do what ``_skinny`` does for one row, without matrix units."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    row = tl.arange(0, 1)
    inner = tl.arange(0, DEPTH)
    other = weight + columns.to(tl.int64) * depth
    tile = _columns(weight, column, columns, inner, depth, EVEN)
    if GATED:
        up = _columns(other, column, columns, inner, depth, EVEN)
    if PDL:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    squares = tl.zeros([1], tl.float32)
    seen, squares = _rows(x, norm, squares, row, rows, inner, depth, EVEN, NORM)
    result = tile.to(tl.float32) * seen.to(tl.float32)
    gated = tl.zeros([COLUMNS, DEPTH], tl.float32)
    if GATED:
        gated = up.to(tl.float32) * seen.to(tl.float32)
    for start in range(DEPTH, depth, DEPTH):
        tile = _columns(weight, column, columns, start + inner, depth, EVEN)
        if GATED:
            up = _columns(other, column, columns, start + inner, depth, EVEN)
        seen, squares = _rows(x, norm, squares, row, rows, start + inner, depth, EVEN, NORM)
        result += tile.to(tl.float32) * seen.to(tl.float32)
        if GATED:
            gated += up.to(tl.float32) * seen.to(tl.float32)
    product = tl.sum(result, 1)[None, :]
    gate = product
    if GATED:
        gate = tl.sum(gated, 1)[None, :]
    _finish(bias, residual, out, product, gate, squares, row, rows, column, columns, depth,
            epsilon, NORM, GATED, BIAS, RESIDUAL)


# (columns, depth, warps, stages) of a program, by rows; found by benchmark/tune_matmul.py.
TILES = {1: (4, 1024, 4, 1), 16: (32, 128, 4, 6), 32: (16, 256, 4, 5), 64: (64, 128, 4, 4)}


def skinny_matmul(x: torch.Tensor, weight: torch.Tensor, *, bias: torch.Tensor | None = None,
                  residual: torch.Tensor | None = None, norm: torch.Tensor | None = None,
                  epsilon: float = 0.0, gated: bool = False,
                  tile: tuple[int, int, int, int] | None = None) -> torch.Tensor:
    """Multiply few rows by weights.

    Args:
        x: [rows, depth], at most ``MOST_ROWS`` rows, contiguous.
        weight: [columns, depth], contiguous; gated: [2 columns, depth], the gate's rows first.
        bias: [columns], added to the product.
        residual: [rows, columns], added to the result.
        norm: [depth], the weight of an RMSNorm that x goes through first.
        epsilon: of that norm.
        gated: return silu(x @ gate.T) * (x @ up.T).
        tile: columns, depth, warps and stages of a program, to measure others than the built-in.

    Returns:
        [rows, columns] in the dtype of x.

    """
    rows, depth = x.shape
    columns = weight.shape[0] // (2 if gated else 1)
    padded = 1 if rows == 1 else max(16, triton.next_power_of_2(rows))
    width, inner, warps, stages = tile or TILES[padded]
    out = x.new_empty(rows, columns)
    kernel = _single if padded == 1 else _skinny
    kernel[(triton.cdiv(columns, width),)](
        x, weight, bias, residual, norm, out, rows, columns, depth, epsilon,
        ROWS=padded, COLUMNS=width, DEPTH=inner, EVEN=depth % inner == 0,
        NORM=norm is not None, GATED=gated, BIAS=bias is not None,
        RESIDUAL=residual is not None, PDL=PDL, num_warps=warps, num_stages=stages,
        **launch_options())
    return out
