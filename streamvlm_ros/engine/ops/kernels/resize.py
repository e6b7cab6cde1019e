# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Images resized as PyTorch resizes bytes on the CPU, equal to the last bit.

The filter is the antialiased bicubic (a = -0.5) of Pillow.  Its weights are computed in float64
and rounded to integers of 16 bits with as many fractional bits as the largest of them allows.  A
pass along the rows comes first, then one along the columns; each adds up in 32 bits, rounds, and
clamps to bytes.  The rule is that of ``torch.nn.functional.interpolate`` on uint8 tensors
(aten/native/cpu/UpSampleKernel.cpp).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

# Height and width of the tiles of the two passes.
ROW_TILE, COLUMN_TILE = (4, 128), (4, 128)
MOST_BITS = 22  # of a weight's fraction
# Two for every size of a camera and the model's size for it.
CACHED = 64


@dataclasses.dataclass(frozen=True)
class FilterWeights:
    """The weights along one side of an image.

    Attributes:
        first: int32 [out], the first pixel that contributes to each resized pixel.
        weights: int16 [taps, out], of that pixel and those behind it.
        bits: of a weight's fraction.

    """

    first: torch.Tensor
    weights: torch.Tensor
    bits: int


def filter_weights(size: int, out: int) -> FilterWeights:
    """Return the weights that resize a side of ``size`` pixels to ``out``, on the CPU."""
    scale = size / out
    stretch = max(scale, 1.0)
    support = 2 * stretch
    taps = 2 * math.ceil(support) + 1
    center = scale * (np.arange(out) + 0.5)
    first = np.maximum((center - support + 0.5).astype(np.int64), 0)
    end = np.minimum((center + support + 0.5).astype(np.int64), size)
    weights, total = np.zeros((taps, out)), np.zeros(out)
    for tap in range(taps):
        pixel = first + tap
        weights[tap] = np.where(pixel < end, _cubic((pixel - center + 0.5) * (1 / stretch)), 0)
        total += weights[tap]
    weights /= total
    # One more bit, and the largest weight would not fit 16 bits.
    largest, bits = weights.max(), 0
    while bits < MOST_BITS and int(0.5 + largest * (1 << bits + 1)) < 1 << 15:
        bits += 1
    # Halves are rounded away from zero.
    rounded = np.trunc(weights * (1 << bits) + np.copysign(0.5, weights))
    return FilterWeights(
        torch.from_numpy(first.astype(np.int32)), torch.from_numpy(rounded.astype(np.int16)), bits
    )


def _cubic(x: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the cubic convolution kernel with a = -0.5 (Keys, 1981), 0 beyond 2."""
    x, a = np.abs(x), -0.5
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


@functools.lru_cache(CACHED)
@torch.inference_mode(False)
def _weights_on(size: int, out: int, device: torch.device) -> FilterWeights:
    """Return ``filter_weights`` on a device."""
    made = filter_weights(size, out)
    return FilterWeights(made.first.to(device), made.weights.to(device), made.bits)


# One kernel for all sizes: none is compiled when a camera with another one comes.
@triton.jit(do_not_specialize=['height', 'width', 'columns', 'taps', 'half', 'bits'])
def _along_rows(
    image,
    first,
    weights,
    out,
    height,
    width,
    columns,
    taps,
    half,
    bits,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Resize rows: uint8 [height, width, 3] to uint8 [3, height, columns]."""
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    there = column < columns
    start = tl.load(first + column, mask=there, other=0)
    line = image + tl.minimum(row, height - 1) * width * 3
    red = tl.zeros((ROWS, COLUMNS), tl.int32) + half
    green = red
    blue = red
    for tap in range(taps):
        weight = tl.load(weights + tap * columns + column, mask=there, other=0).to(tl.int32)
        weight = weight[None, :]
        # A weight of a pixel that does not exist is 0.
        pixel = line + 3 * tl.minimum(start + tap, width - 1)[None, :]
        red += weight * tl.load(pixel).to(tl.int32)
        green += weight * tl.load(pixel + 1).to(tl.int32)
        blue += weight * tl.load(pixel + 2).to(tl.int32)
    mask = (row < height) & there[None, :]
    plane = height.to(tl.int64) * columns
    place = out + row * columns + column[None, :]
    tl.store(place, _byte(red, bits).to(tl.uint8), mask=mask)
    tl.store(place + plane, _byte(green, bits).to(tl.uint8), mask=mask)
    tl.store(place + 2 * plane, _byte(blue, bits).to(tl.uint8), mask=mask)


@triton.jit(do_not_specialize=['height', 'rows', 'columns', 'taps', 'half', 'bits'])
def _along_columns(
    lines,
    first,
    weights,
    out,
    height,
    rows,
    columns,
    taps,
    half,
    bits,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Resize columns: uint8 [3, height, columns] to float32 [3, rows, columns]."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    channel = tl.program_id(2).to(tl.int64)
    mask = (row < rows)[:, None] & (column < columns)
    start = tl.load(first + row, mask=row < rows, other=0)
    plane = lines + channel * height * columns + column
    level = tl.zeros((ROWS, COLUMNS), tl.int32) + half
    for tap in range(taps):
        weight = tl.load(weights + tap * rows + row, mask=row < rows, other=0).to(tl.int32)
        line = tl.minimum(start + tap, height - 1).to(tl.int64)[:, None]
        level += weight[:, None] * tl.load(plane + line * columns, mask=mask, other=0).to(tl.int32)
    place = out + (channel * rows + row[:, None]) * columns + column
    tl.store(place, _byte(level, bits).to(tl.float32), mask=mask)


@triton.jit
def _byte(level, bits):
    """Drop the fraction, and clamp."""
    return tl.minimum(tl.maximum(level >> bits, 0), 255)


def resize(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize an RGB image.

    A side that keeps its size has weights of one pixel, which change nothing.

    Args:
        image: uint8 [height, width, 3], contiguous, on a GPU.
        size: height and width that it shall have.

    Returns:
        Whole numbers from 0 to 255, float32 [3, *size].

    """
    (height, width, _), (rows, columns) = image.shape, size
    along_row = _weights_on(width, columns, image.device)
    along_column = _weights_on(height, rows, image.device)
    lines = image.new_empty(3, height, columns)
    out = torch.empty(3, rows, columns, device=image.device)
    tile_rows, tile_columns = ROW_TILE
    with torch.cuda.device_of(image):
        _along_rows[(triton.cdiv(height, tile_rows), triton.cdiv(columns, tile_columns))](
            image,
            along_row.first,
            along_row.weights,
            lines,
            height,
            width,
            columns,
            len(along_row.weights),
            1 << along_row.bits - 1,
            along_row.bits,
            ROWS=tile_rows,
            COLUMNS=tile_columns,
        )
        tile_rows, tile_columns = COLUMN_TILE
        _along_columns[(triton.cdiv(rows, tile_rows), triton.cdiv(columns, tile_columns), 3)](
            lines,
            along_column.first,
            along_column.weights,
            out,
            height,
            rows,
            columns,
            len(along_column.weights),
            1 << along_column.bits - 1,
            along_column.bits,
            ROWS=tile_rows,
            COLUMNS=tile_columns,
        )
    return out
