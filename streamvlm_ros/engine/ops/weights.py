# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Matrices as kernels take them: those that multiply the same input are one matrix.

The modules' parameters become views of these matrices (``share``), so nothing is stored twice
and the names in a model's state do not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from streamvlm_ros.engine.ops.quantization import QuantizedLinear, QuantizedWeight

Weight = torch.Tensor | QuantizedWeight


def join(linears: Sequence[Any]) -> Weight:
    """Concatenate the matrices of layers with the same input; see ``share``."""
    if not isinstance(linears[0], QuantizedLinear):
        return share([each.weight for each in linears])
    return QuantizedWeight(
        share([each.numbers for each in linears]),
        share([each.scale for each in linears]),
        linears[0].bits,
        None if linears[0].zero is None else share([each.zero for each in linears]),
    )


def share(parameters: Sequence[torch.Tensor]) -> torch.Tensor:
    """Concatenate parameters or buffers in one tensor, and make them views of it."""
    # Not inference tensors, even if called in inference mode: the parameters outlive it.
    with torch.inference_mode(False), torch.no_grad():
        whole = torch.cat([parameter.data for parameter in parameters])
        start = 0
        for parameter in parameters:
            parameter.data = whole[start : start + parameter.shape[0]]
            start += parameter.shape[0]
    return whole
