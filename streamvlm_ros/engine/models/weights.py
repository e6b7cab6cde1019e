# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A decoder layer's weights, whatever a family calls them."""

from __future__ import annotations

import dataclasses

import torch

from streamvlm_ros.engine.ops.weights import Weight


@dataclasses.dataclass(frozen=True)
class LayerWeights:
    """One decoder layer.

    Attributes:
        norm, mlp_norm: [hidden]; epsilon belongs to all norms.
        qkv: [(heads + 2 kv_heads) head_dim, hidden], and its bias; None: there is none.
        out: [hidden, heads * head_dim].
        gate_up: [2 intermediate, hidden], the gate's rows first.
        down: [hidden, intermediate].
        query_norm, key_norm: [head_dim], of each head before it is rotated; None: there is none.

    """

    norm: torch.Tensor
    epsilon: float
    qkv: Weight
    qkv_bias: torch.Tensor | None
    out: Weight
    mlp_norm: torch.Tensor
    gate_up: Weight
    down: Weight
    query_norm: torch.Tensor | None = None
    key_norm: torch.Tensor | None = None
