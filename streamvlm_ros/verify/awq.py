# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The values that an AWQ folder's matrices stand for, by the published formula.

Written apart from the engine, which never makes whole matrices of them.
"""

from __future__ import annotations

import pathlib

from safetensors import safe_open
import torch

ORDER = (0, 2, 4, 6, 1, 3, 5, 7)  # the column in each 4 bits of an integer, lowest first


def dequantized(folder: pathlib.Path, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return a folder's weights by their published names, matrices in 4 bits as their values."""
    weights: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob('*.safetensors')):
        with safe_open(file, framework='pt') as opened:
            weights |= {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    for name in [name for name in weights if name.endswith('.qweight')]:
        stem = name.removesuffix('.qweight')
        parts = [weights.pop(f'{stem}.{kind}') for kind in ('qweight', 'qzeros', 'scales')]
        weights[f'{stem}.weight'] = matrix(*parts).to(dtype)
    return weights


def matrix(qweight: torch.Tensor, qzeros: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Return (number - zero) * scale, exactly: float32 [columns, depth]."""
    numbers, zeros = _columns(qweight), _columns(qzeros)
    each = len(numbers) // len(scales)
    wide = numbers.float().unflatten(0, (-1, each)) - zeros.float()[:, None]
    return (wide * scales.float()[:, None]).flatten(0, 1).T.contiguous()


def _columns(packed: torch.Tensor) -> torch.Tensor:
    made = torch.empty(packed.shape[0], 8 * packed.shape[1], dtype=torch.int8)
    for place, column in enumerate(ORDER):
        made[:, column::8] = packed >> 4 * place & 15
    return made
