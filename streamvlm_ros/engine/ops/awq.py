# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Matrices as AWQ publishes them (arXiv 2306.00978), turned into those that the kernels read.

Of a matrix [columns, depth] a file has, in the layout that is called GEMM, ``qweight`` int32
[depth, columns / 8], ``qzeros`` int32 [groups, columns / 8] and ``scales`` float16 [groups,
columns].  An integer holds eight columns in 4 bits each, in the order 0, 2, 4, 6, 1, 3, 5, 7 from
its lowest bits on.  A weight is (number - zero) * scale.
"""

from __future__ import annotations

import torch

from streamvlm_ros.engine.ops.quantization import GROUPS, QuantizedWeight

# Where the bits of an integer's columns 0 to 7 begin.
SHIFTS = tuple(4 * place for place in (0, 4, 1, 5, 2, 6, 3, 7))
PACKED = len(SHIFTS)  # columns of an integer
MIDDLE = 8  # is subtracted from numbers and zeros, so that 4 bits hold them with their sign


def from_awq(qweight: torch.Tensor, qzeros: torch.Tensor, scales: torch.Tensor) -> QuantizedWeight:
    """Return the same matrix [columns, depth]; not one bit of its values changes.

    Where a half of a row does not have whole groups, each group becomes several smaller ones with
    the same scale and zero.

    Args:
        qweight: int32 [depth, columns / 8]; depth is a multiple of 2 * GROUPS[-1].
        qzeros: int32 [groups, columns / 8].
        scales: [groups, columns], of which the result keeps the dtype.

    """
    numbers = _unpacked(qweight).T
    zero, scale = _unpacked(qzeros).T, scales.T
    depth, groups = numbers.shape[1], scale.shape[1]
    size = depth // groups
    fitting = next(each for each in GROUPS if each <= size and depth % (2 * each) == 0)
    if fitting < size:
        zero, scale = (each.repeat_interleave(size // fitting, 1) for each in (zero, scale))
    first, second = numbers.chunk(2, dim=1)
    return QuantizedWeight(
        ((first & 15) | (second << 4)).contiguous(), scale.contiguous(), 4, zero.contiguous()
    )


def _unpacked(packed: torch.Tensor) -> torch.Tensor:
    """Return int8 [rows, columns], from -8 to 7, of int32 [rows, columns / 8]."""
    shifts = torch.tensor(SHIFTS, dtype=torch.int32, device=packed.device)
    return ((packed[:, :, None] >> shifts & 15) - MIDDLE).to(torch.int8).flatten(1)
