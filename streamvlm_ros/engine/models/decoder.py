# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The language model's layers, run over a KV context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from streamvlm_ros.engine.models.weights import LayerWeights
from streamvlm_ros.engine.ops.operations import Operations
from streamvlm_ros.engine.ops.rotary import Rotation


class Attends(Protocol):
    """What layers need of a KV context."""

    def attend(self, layer: int, qkv: torch.Tensor, rotation: Rotation) -> torch.Tensor:
        """Rotate and store a layer's new keys and values, and attend.

        Args:
            layer: its index.
            qkv: [n, (heads + 2 kv_heads) head_dim]: queries, keys, values, not rotated.
            rotation: of the n tokens.

        Returns:
            [n, heads * head_dim].

        """


def run_layers(
    weights: Sequence[LayerWeights],
    hidden: torch.Tensor,
    rotation: Rotation,
    context: Attends,
    operations: Operations,
    side_outputs: Sequence[torch.Tensor] = (),
) -> torch.Tensor:
    """Run all decoder layers on new tokens.

    Args:
        weights: of the layers, on any devices.
        hidden: embeddings [n, hidden_size], which may be overwritten.
        rotation: of the new tokens.
        context: takes the new keys and values.
        operations: what the layers are made of.
        side_outputs: what is added to the hidden states after each of the first layers,
            [n, hidden_size] each.

    Returns:
        [n, hidden_size], before the final norm.

    """
    for index, layer in enumerate(weights):
        device = layer.norm.device
        # Only does anything where a model is spread over several devices.
        hidden, rotation = hidden.to(device), rotation.to(device)
        # Triton launches on the current GPU, wherever the tensors are.
        with torch.cuda.device_of(layer.norm):
            qkv = operations.norm_linear(
                hidden, layer.norm, layer.epsilon, layer.qkv, layer.qkv_bias
            )
            if layer.query_norm is not None and layer.key_norm is not None:
                heads = layer.out.shape[1] // len(layer.query_norm)
                qkv = operations.norm_heads(
                    qkv, heads, layer.query_norm, layer.key_norm, layer.epsilon
                )
            attended = context.attend(index, qkv, rotation)
            hidden = operations.add_linear(hidden, attended, layer.out)
            gated = operations.norm_gated(hidden, layer.mlp_norm, layer.epsilon, layer.gate_up)
            hidden = operations.add_linear(hidden, gated, layer.down)
            if index < len(side_outputs):
                hidden = hidden + side_outputs[index].to(device)
    return hidden
