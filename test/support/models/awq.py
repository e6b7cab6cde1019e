# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Packs matrices as AWQ publishes them, number by number; written apart from the engine."""

from __future__ import annotations

import json
import pathlib

from safetensors.torch import load_file, save_file
from support.models.random_models import random_model
import torch

from streamvlm_ros.engine.models.qwen.model import QwenModel

CONFIG = {'quant_method': 'awq', 'bits': 4, 'zero_point': True, 'version': 'gemm'}
MATRICES = ('q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj')
WEIGHTS = 'model.safetensors'

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


def write_awq(
    folder: pathlib.Path, shape: str, group: int = 32, model: QwenModel | None = None
) -> QwenModel:
    """Write a random model as an AWQ folder; return one of the same values in float32.

    It is one of the first family, unless ``model`` is given.
    """
    model = model or random_model(shape)
    model.save_pretrained(folder)
    # Not a copy: of a model that has run, the joined matrices would be copied beside its weights.
    plain = type(model)(model.config).eval()
    plain.load_state_dict(model.state_dict())
    state = plain.state_dict()
    tensors = {}
    for number, (name, weights) in enumerate(sorted(load_file(folder / WEIGHTS).items())):
        stem, _, kind = name.rpartition('.')
        if kind != 'weight' or not stem.endswith(MATRICES) or 'visual' in stem:
            tensors[name] = weights
            continue
        rows, columns = weights.shape
        made = random_awq(rows, columns, group, seed=number)
        tensors |= {f'{stem}.{end}': each for end, each in made.items()}
        state[model.layout.own_name(name)].copy_(published_values(made, torch.float32))
    save_file(tensors, folder / WEIGHTS, {'format': 'pt'})
    configure(folder, {**CONFIG, 'group_size': group, 'modules_to_not_convert': ['visual']})
    return plain


def configure(folder: pathlib.Path, quantization: object) -> None:
    """Say in a folder's config.json how its weights are quantized."""
    file = folder / 'config.json'
    values = json.loads(file.read_text())
    file.write_text(json.dumps({**values, 'quantization_config': quantization}))
