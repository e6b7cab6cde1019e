# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reads the matrices of an AWQ folder into a model, and tells their shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
import os
from typing import Any

import torch

from streamvlm_ros.engine.models.folder.quantized import Awq, INSTEAD
from streamvlm_ros.engine.models.folder.tensors import opened
from streamvlm_ros.engine.models.folder.weight_files import Shapes, StoredTensor
from streamvlm_ros.engine.ops.awq import from_awq, PACKED
from streamvlm_ros.engine.ops.quantization import GROUPS, QuantizedLinear, QuantizedWeight

# What a matrix consists of, and its number format.
TENSORS = {'qweight': torch.int32, 'qzeros': torch.int32, 'scales': torch.float16}


def hold_awq(
    layers: Iterable[Any], projections: Mapping[str, Sequence[str]], awq: Awq, prefix: str
) -> None:
    """Let the decoder's matrices be such as `read_awq` fills.

    Args:
        layers: the layers' modules, on any device.
        projections: for each part of a layer, the names of its matrices.
        awq: how they are stored.
        prefix: the published name of the list of layers.

    Raises:
        ValueError: some of them are not stored so, or cannot be.

    """
    for number, layer in enumerate(layers):
        for part, names in projections.items():
            module = getattr(layer, part)
            for name in names:
                full = f'{prefix}.{number}.{part}.{name}'
                if any(each in full for each in awq.whole):
                    raise ValueError(
                        f'config.json leaves {full} out of the AWQ matrices '
                        '(modules_to_not_convert), and only folders are run in which all '
                        f"matrices of the decoder's layers are in 4 bits. {INSTEAD}"
                    )
                setattr(module, name, _empty(getattr(module, name), awq.group, full))


def read_awq(
    path: str | os.PathLike[str],
    model: torch.nn.Module,
    stored: dict[str, StoredTensor],
    device_of: Callable[[str], torch.device],
) -> None:
    """Fill the matrices of a model that were prepared by `hold_awq`, one after another.

    Args:
        path: of the model, for sentences.
        model: may be on the meta device.
        stored: where its tensors are, by the model's names; those that were read are removed.
        device_of: returns the device of a parameter.

    Raises:
        ValueError: a matrix is missing, of another shape or number format.

    """
    for name, module in model.named_modules():
        if isinstance(module, QuantizedLinear):
            parts = _parts(path, name, module.weight, stored)
            read = {}
            for kind, tensor in opened(parts):
                if tensor.dtype != TENSORS[kind]:
                    raise ValueError(
                        f'{parts[kind].file}: {parts[kind].name} holds {tensor.dtype} numbers; '
                        f'those of AWQ are {TENSORS[kind]}.'
                    )
                read[kind] = tensor.to(device_of(name))
            # Not inference tensors, even if called in inference mode: they outlive it.
            with torch.inference_mode(False):
                module.hold(from_awq(**read))


def as_whole(shapes: Shapes) -> Shapes:
    """Return the shapes that the matrices have, by their names in a folder without AWQ."""
    whole: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes.items():
        stem, _, kind = name.rpartition('.')
        if kind == 'qweight' and len(shape) == 2:
            whole[f'{stem}.weight'] = shape[1] * PACKED, shape[0]
        elif kind not in TENSORS:
            whole[name] = shape
    return whole


def _empty(linear: torch.nn.Linear, group: int, name: str) -> QuantizedLinear:
    columns, depth = linear.weight.shape
    if columns % PACKED or depth % group or depth % (2 * GROUPS[-1]):
        raise ValueError(
            f'config.json says that the weights are quantized already (awq), but {name} is '
            f'{columns} x {depth}, which does not divide into groups of {group} and integers of '
            f'{PACKED}. {INSTEAD}'
        )
    new, groups = linear.weight.new_zeros, depth // group
    weight = QuantizedWeight(
        new(columns, depth // 2, dtype=torch.int8),
        new(columns, groups, dtype=torch.float16),
        4,
        new(columns, groups, dtype=torch.int8),
    )
    bias: torch.nn.Parameter | None = linear.bias
    return QuantizedLinear(weight, bias)


def _parts(
    path: str | os.PathLike[str],
    name: str,
    weight: QuantizedWeight,
    stored: dict[str, StoredTensor],
) -> dict[str, StoredTensor]:
    """Take a matrix's tensors out of those that are stored."""
    columns, depth = weight.shape
    groups = weight.scale.shape[1]
    found = {}
    for kind, shape in (
        ('qweight', (depth, columns // PACKED)),
        ('qzeros', (groups, columns // PACKED)),
        ('scales', (groups, columns)),
    ):
        part = stored.pop(f'{name}.{kind}', None)
        if part is None or part.shape != shape:
            how = 'is missing' if part is None else f'is {list(part.shape)}, not {list(shape)}'
            raise ValueError(
                f'The weights in {path} are not in the layout of AWQ that its config.json says: '
                f'{name}.{kind} {how}. {INSTEAD}'
            )
        found[kind] = part
    return found
