# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Packs matrices as AWQ publishes them, number by number; written apart from the engine."""

from __future__ import annotations

import torch

ORDER = (0, 2, 4, 6, 1, 3, 5, 7)  # the column in each 4 bits of an integer, lowest first


def random_awq(columns: int, depth: int, group: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Return the tensors of a random matrix [columns, depth] by the ends of their names."""
    rng = torch.Generator().manual_seed(seed)
    groups = depth // group
    numbers = torch.randint(0, 16, (depth, columns), generator=rng)
    zeros = torch.randint(0, 16, (groups, columns), generator=rng)
    scales = (torch.rand(groups, columns, generator=rng) + 0.2) / (5 * depth**0.5)
    return {'qweight': _packed(numbers), 'qzeros': _packed(zeros), 'scales': scales.half()}


def published_values(tensors: dict[str, torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
    """Return the matrix [columns, depth]: (number - zero) * scale, in one number format."""
    numbers, zeros = (_unpacked(tensors[name]) for name in ('qweight', 'qzeros'))
    scales = tensors['scales']
    rows = []
    for row in range(len(numbers)):
        group = row * len(scales) // len(numbers)
        rows.append((numbers[row] - zeros[group]).to(dtype) * scales[group].to(dtype))
    return torch.stack(rows, dim=1)


def _packed(numbers: torch.Tensor) -> torch.Tensor:
    rows, columns = numbers.shape
    packed = torch.zeros(rows, columns // 8, dtype=torch.int64)
    for place, column in enumerate(ORDER):
        packed += numbers[:, column::8] << 4 * place
    return torch.where(packed >= 1 << 31, packed - (1 << 32), packed).to(torch.int32)


def _unpacked(packed: torch.Tensor) -> torch.Tensor:
    numbers = torch.zeros(packed.shape[0], 8 * packed.shape[1], dtype=torch.int64)
    for place, column in enumerate(ORDER):
        numbers[:, column::8] = packed.long() >> 4 * place & 15
    return numbers
