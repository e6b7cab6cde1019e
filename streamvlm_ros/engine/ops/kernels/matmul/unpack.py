# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Converts numbers of 8 and 4 bits to bfloat16 without the card's slow conversions.

A number is put among the bits of a bfloat16 whose last bit is worth 1: 0x4300 is 128, and with n
in its lower 7 bits 128 + n.  The excess is subtracted exactly, two values at a time.
Without EXACT_BITS (for other dtypes, in the interpreter) it is an ordinary conversion.
"""

from __future__ import annotations

import triton
import triton.language as tl

# $0, $1: two values each; $2: four bytes. 0xBF80 is -1, 0xC308 is -136, 0x3F80 is 1.
BYTES = tl.constexpr("""{
    .reg .b32 low, sign, v, s, minus;
    mov.b32 minus, 0xbf80bf80;
    and.b32 low, $2, 0x7f7f7f7f;
    and.b32 sign, $2, 0x80808080;
    prmt.b32 v, low, 0x43434343, 0x4140;
    prmt.b32 s, sign, 0x43434343, 0x4140;
    fma.rn.bf16x2 $0, s, minus, v;
    prmt.b32 v, low, 0x43434343, 0x4342;
    prmt.b32 s, sign, 0x43434343, 0x4342;
    fma.rn.bf16x2 $1, s, minus, v;
}""")
_HALVES = """
    lop3.b32 n, n, 0x0f0f0f0f, 0x08080808, 0x6a;
    prmt.b32 v, n, 0x43434343, 0x4140;
    fma.rn.bf16x2 $0, v, one, less;
    prmt.b32 v, n, 0x43434343, 0x4342;
    fma.rn.bf16x2 $1, v, one, less;
}"""
_BEGIN = """{
    .reg .b32 n, v, one, less;
    mov.b32 one, 0x3f803f80;
    mov.b32 less, 0xc308c308;
"""
LOWER = tl.constexpr(f'{_BEGIN}    mov.b32 n, $2;{_HALVES}')
UPPER = tl.constexpr(f'{_BEGIN}    shr.u32 n, $2, 4;{_HALVES}')


@triton.jit
def whole(tile, dtype: tl.constexpr, EXACT_BITS: tl.constexpr):
    """Return weights as ``dtype``; bytes as the numbers they are."""
    if EXACT_BITS and tile.dtype == tl.int8:
        return tl.inline_asm_elementwise(
            BYTES, '=r,=r,r', [tile], dtype=tl.bfloat16, is_pure=True, pack=4
        ).to(dtype)
    return tile.to(dtype)


@triton.jit
def lower(tile, dtype: tl.constexpr, EXACT_BITS: tl.constexpr):
    """Return the numbers in the bytes' lower halves."""
    if EXACT_BITS:
        return tl.inline_asm_elementwise(
            LOWER, '=r,=r,r', [tile], dtype=tl.bfloat16, is_pure=True, pack=4
        ).to(dtype)
    return (tile << 4 >> 4).to(dtype)


@triton.jit
def upper(tile, dtype: tl.constexpr, EXACT_BITS: tl.constexpr):
    """Return the numbers in the bytes' upper halves."""
    if EXACT_BITS:
        return tl.inline_asm_elementwise(
            UPPER, '=r,=r,r', [tile], dtype=tl.bfloat16, is_pure=True, pack=4
        ).to(dtype)
    return (tile >> 4).to(dtype)
