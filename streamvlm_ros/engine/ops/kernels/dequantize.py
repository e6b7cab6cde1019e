# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Dequantizes weights, for products of many rows."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from streamvlm_ros.engine.ops.kernels.launch import launch_options, PDL
from streamvlm_ros.engine.ops.quantization import QuantizedWeight

COLUMNS, BLOCK = 8, 512  # numbers that one program converts


@triton.jit
def _store(numbers, scale, zero, out, group, at, mask, ZEROS: tl.constexpr):
    factor = tl.load(scale + group, mask=mask, other=0.0).to(tl.float32)
    wide = numbers.to(tl.float32)
    if ZEROS:
        wide -= tl.load(zero + group, mask=mask, other=0).to(tl.float32)
    wide *= factor
    tl.store(out + at, wide.to(out.dtype.element_ty), mask=mask)


@triton.jit
def _widen(
    numbers,
    scale,
    zero,
    out,
    columns,
    stored,
    groups,
    COLUMNS: tl.constexpr,
    BLOCK: tl.constexpr,
    GROUP: tl.constexpr,
    PACKED: tl.constexpr,
    ZEROS: tl.constexpr,
    PDL: tl.constexpr,
):
    """Write out[columns, depth] = numbers, less their groups' zeros, times scales."""
    if PDL:
        tl.extra.cuda.gdc_launch_dependents()
    column = (tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)).to(tl.int64)[:, None]
    inner = (tl.program_id(1) * BLOCK + tl.arange(0, BLOCK))[None, :]
    mask = (column < columns) & (inner < stored)
    tile = tl.load(numbers + column * stored + inner, mask=mask, other=0)
    if PDL:
        # The readers of what is overwritten here must have ended.
        tl.extra.cuda.gdc_wait()
    if PACKED:
        at, group = column * 2 * stored + inner, column * groups + inner // GROUP
        _store(tile << 4 >> 4, scale, zero, out, group, at, mask, ZEROS)
        _store(tile >> 4, scale, zero, out, group + groups // 2, at + stored, mask, ZEROS)
    else:
        _store(tile, scale, zero, out, column, column * stored + inner, mask, False)


def widen(weight: QuantizedWeight, dtype: torch.dtype) -> torch.Tensor:
    """Return the matrix [columns, depth] in a dtype."""
    columns, depth = weight.shape
    groups, stored = weight.scale.shape[1], weight.numbers.shape[1]
    out = weight.scale.new_empty(columns, depth, dtype=dtype)
    _widen[(triton.cdiv(columns, COLUMNS), triton.cdiv(stored, BLOCK))](
        weight.numbers,
        weight.scale,
        weight.zero,
        out,
        columns,
        stored,
        groups,
        COLUMNS=COLUMNS,
        BLOCK=BLOCK,
        GROUP=depth // groups,
        PACKED=weight.bits == 4,
        ZEROS=weight.zero is not None,
        PDL=PDL,
        num_warps=4,
        **launch_options(),
    )
    return out
