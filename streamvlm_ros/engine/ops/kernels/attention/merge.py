# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Partial results of attention, joined by their log2-sum-exp."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from streamvlm_ros.engine.ops.kernels.launch import launch_options, PDL

FEW = 4  # parts that are joined row by row


@triton.jit
def _merge(
    part,
    lse,
    out,
    rows,
    WIDTH: tl.constexpr,
    PARTS: tl.constexpr,
    MANY: tl.constexpr,
    COLUMNS: tl.constexpr,
    PDL: tl.constexpr,
):
    if PDL:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    each = tl.arange(0, MANY)
    seen = tl.load(lse + each * rows + row, mask=each < PARTS, other=float('-inf'))
    share = tl.exp2(seen - tl.max(seen, 0))
    share = share / tl.sum(share, 0)
    value = tl.load(
        part + (each * rows + row)[:, None] * WIDTH + at[None, :],
        mask=(share > 0)[:, None],
        other=0.0,
    )
    joined = tl.sum(value * share[:, None], 0)
    tl.store(out + row * WIDTH + at, joined.to(out.dtype.element_ty))


@triton.jit
def _merge_few(
    part,
    lse,
    out,
    rows,
    WIDTH: tl.constexpr,
    PARTS: tl.constexpr,
    LINES: tl.constexpr,
    PDL: tl.constexpr,
):
    """Do what ``_merge`` does for many rows in few parts: a program takes several rows."""
    if PDL:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    row = tl.program_id(0).to(tl.int64) * LINES + tl.arange(0, LINES)
    mask = row < rows
    place = row[:, None] * WIDTH + tl.arange(0, WIDTH)[None, :]
    top = tl.load(lse + row, mask=mask, other=0.0)
    joined = tl.load(part + place, mask=mask[:, None], other=0.0)
    total = tl.full([LINES], 1.0, tl.float32)
    for index in tl.static_range(1, PARTS):
        seen = tl.load(lse + index * rows + row, mask=mask, other=float('-inf'))
        value = tl.load(
            part + index * rows.to(tl.int64) * WIDTH + place, mask=mask[:, None], other=0.0
        )
        most = tl.maximum(top, seen)
        # What has seen nothing counts for nothing; of two that have not, the first stays.
        base = tl.where(most == float('-inf'), 0.0, most)
        old, new = tl.exp2(top - base), tl.exp2(seen - base)
        joined = joined * old[:, None] + value * new[:, None]
        total = total * old + new
        top = most
    joined = joined / tl.where(total > 0, total, 1.0)[:, None]
    tl.store(out + place, joined.to(out.dtype.element_ty), mask=mask[:, None])


def merge(part: torch.Tensor, lse: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Join partial results float32 [parts, rows, heads, head_dim] by their log2-sum-exp.

    Returns:
        [rows, heads * head_dim].

    """
    parts, rows, heads, width = part.shape
    out = part.new_empty(rows, heads * width, dtype=dtype)
    if parts <= FEW:
        _merge_few[(triton.cdiv(rows * heads, 16),)](
            part,
            lse,
            out,
            rows * heads,
            WIDTH=width,
            PARTS=parts,
            LINES=16,
            PDL=PDL,
            num_warps=4,
            **launch_options(),
        )
        return out
    columns = min(32, width)
    _merge[(rows * heads, width // columns)](
        part,
        lse,
        out,
        rows * heads,
        WIDTH=width,
        PARTS=parts,
        MANY=triton.next_power_of_2(parts),
        COLUMNS=columns,
        PDL=PDL,
        num_warps=4,
        **launch_options(),
    )
    return out
