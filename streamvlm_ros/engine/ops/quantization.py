# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Matrices of the decoder in 8 or 4 bits, for cards with less memory and bandwidth.

torchao does the rounding: symmetric, with a scale for every row (8 bits) or for every 128 values
of a row (4 bits).  Weights that were published in 4 bits (``awq.py``) have zero points besides.
Activations are not quantized, nor are the ViT, the norms, the token embedding and the output
matrix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import math
from typing import Any

import torch
from torch.nn import functional

from streamvlm_ros.engine.compat import quiet_torchao
from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.versions import check_versions, OPTIONAL

GROUPS = (128, 64, 32, 16)  # values that share a scale in 4 bits: the first that fits


@dataclasses.dataclass(frozen=True)
class QuantizedWeight:
    """A matrix [columns, depth], stored as integers and their scales.

    Attributes:
        numbers: int8 [columns, depth]; in 4 bits int8 [columns, depth / 2], where a byte's lower
            half belongs to the row's first half and its upper half to the row's second.
        scale: [columns, groups], each for depth / groups neighbouring values.
        bits: 8 or 4.
        zero: int8 [columns, groups], in 4 bits only: the number that stands for 0 in a group;
            None: it is 0 everywhere.

    """

    numbers: torch.Tensor
    scale: torch.Tensor
    bits: int
    zero: torch.Tensor | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """[columns, depth]."""
        columns, stored = self.numbers.shape
        return columns, stored * 8 // self.bits

    @property
    def device(self) -> torch.device:
        """The device that holds it."""
        return self.numbers.device

    def dequantized(self, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Return the matrix: the reference of every kernel.

        Args:
            dtype: of the result, to which the exact products are rounded; None: the scale's.

        """
        numbers = self.numbers
        if self.bits == 4:
            numbers = torch.cat([numbers << 4 >> 4, numbers >> 4], dim=1)
        grouped = numbers.unflatten(1, (self.scale.shape[1], -1))
        if self.zero is not None:
            grouped = grouped - self.zero[:, :, None]
        # Exact: a scale has at most 11 bits unless it is in float32 itself.
        wide = grouped.float() * self.scale[:, :, None].float()
        return wide.flatten(1).to(dtype or self.scale.dtype)


class QuantizedLinear(torch.nn.Module):
    """Replaces a ``torch.nn.Linear``; its numbers are buffers."""

    numbers: torch.Tensor
    scale: torch.Tensor
    zero: torch.Tensor | None

    def __init__(self, weight: QuantizedWeight, bias: torch.nn.Parameter | None) -> None:
        """Hold a matrix and a bias, which stay on their device."""
        super().__init__()
        self.bias = bias
        for name in ('numbers', 'scale', 'zero'):
            self.register_buffer(name, None)
        self.hold(weight)

    def hold(self, weight: QuantizedWeight) -> None:
        """Take another matrix in the place of this one."""
        self.bits = weight.bits
        self.numbers, self.scale, self.zero = weight.numbers, weight.scale, weight.zero

    @property
    def weight(self) -> QuantizedWeight:
        """The matrix."""
        return QuantizedWeight(self.numbers, self.scale, self.bits, self.zero)

    def _apply(self, *args: Any, **kwargs: Any) -> QuantizedLinear:
        """Move or convert it; published scales keep their number format, and so their bits."""
        published = self.scale
        super()._apply(*args, **kwargs)
        if self.zero is not None and self.scale.dtype != published.dtype:
            self.scale = published.to(self.scale.device)
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x [..., depth] times the matrix. The engine itself uses ``Operations``."""
        return functional.linear(x, self.weight.dequantized(x.dtype), self.bias)


def quantize(weight: torch.Tensor, bits: int) -> QuantizedWeight:
    """Round a matrix [columns, depth].

    Raises:
        ImportError: torchao is not installed.
        StreamError: INVALID_REQUEST for a depth that has no group size in 4 bits.

    """
    # Imported here because it takes half a second, and is not always there.
    with quiet_torchao():
        from torchao import quantization as torchao

    rounded = torch.nn.Linear(weight.shape[1], weight.shape[0], False, 'meta')
    rounded.weight = torch.nn.Parameter(weight, requires_grad=False)
    if bits == 8:
        config = torchao.IntxWeightOnlyConfig(torch.int8, torchao.PerAxis(0))
    else:
        config = torchao.IntxWeightOnlyConfig(
            torch.int4,  # type: ignore[attr-defined]
            torchao.PerGroup(_group(weight.shape[1])),
            # The error is a twelfth smaller than with the scale of the largest value.
            intx_choose_qparams_algorithm='hqq_scale_only',
        )
    torchao.quantize_(rounded, config)
    made: Any = rounded.weight
    numbers = made.qdata
    if bits == 4:
        first, second = numbers.chunk(2, dim=1)
        numbers = (first & 15) | (second << 4)
    return QuantizedWeight(numbers.contiguous(), made.scale.to(weight.dtype), bits)


def quantize_layers(
    layers: Any, projections: Mapping[str, Sequence[str]], bits: int, device: str | None
) -> None:
    """Round the matrices of a model's decoder layers, one after another.

    Args:
        layers: the layers' modules; they hold ``QuantizedLinear``s afterwards.
        projections: for each part of a layer, the names of its matrices.
        bits: 8 or 4.
        device: where the work is done and the matrices stay; None: the device they are on.

    Raises:
        ImportError: torchao is not installed, or not in the tested range.
        StreamError: INVALID_REQUEST for a depth that has no group size in 4 bits, or matrices that
            are in few bits already.

    """
    if any(is_quantized(layer) for layer in layers):
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            "The model's weights are in 4 bits already; leave quantization at none.",
        )
    check_versions(OPTIONAL)
    for layer in layers:
        for part, names in projections.items():
            module = getattr(layer, part)
            for name in names:
                linear = getattr(module, name)
                if device is not None:
                    linear = linear.to(device)
                made = quantize(linear.weight.detach(), bits)
                setattr(module, name, QuantizedLinear(made, linear.bias))


def stored_weights(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    """Yield a model's parameters, and what its quantized matrices are made of."""
    yield from model.parameters()
    for module in model.modules():
        if isinstance(module, QuantizedLinear):
            yield from module.buffers()


def is_quantized(model: torch.nn.Module) -> bool:
    """Tell whether some of a model's matrices are held in few bits."""
    return any(isinstance(module, QuantizedLinear) for module in model.modules())


def count_weights(model: torch.nn.Module) -> int:
    """Return the number of a model's weights, those in few bits included."""
    return sum(each.numel() for each in model.parameters()) + sum(
        math.prod(module.weight.shape)
        for module in model.modules()
        if isinstance(module, QuantizedLinear)
    )


def weight_bytes(model: torch.nn.Module) -> int:
    """Return the bytes of a model's weights."""
    return sum(weights.nbytes for weights in stored_weights(model))


def quantized_bytes(
    model: torch.nn.Module,
    layers: Any,
    projections: Mapping[str, Sequence[str]],
    bits: int | None,
) -> int:
    """Return what a model's weights would take after `quantize_layers`; None: as they are.

    The weights need not be there: it goes by their shapes.
    """
    total = weight_bytes(model)
    for layer in layers if bits and not is_quantized(model) else ():
        for part, names in projections.items():
            for name in names:
                weight = getattr(getattr(layer, part), name).weight
                columns, depth = weight.shape
                groups = 1 if bits == 8 else depth // _group(depth)
                stored = columns * (depth * bits // 8 + groups * weight.element_size())
                total += stored - weight.nbytes
    return total


def _group(depth: int) -> int:
    for group in GROUPS:
        if depth % (2 * group) == 0:
            return group
    raise StreamError(
        ErrorCode.INVALID_REQUEST,
        f'The model has matrices of depth {depth}, and int4 needs a multiple of '
        f'{2 * GROUPS[-1]}. Use int8.',
    )
