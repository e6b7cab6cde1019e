# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The language model's layers, run on stock modules over a KV context."""

from __future__ import annotations

from typing import Any

import torch

from streamvlm_ros.engine.cache import KVContext
from streamvlm_ros.engine.mrope import rotate


def run_layers(layers: Any, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor,
               context: KVContext) -> torch.Tensor:
    """Run all decoder layers on new tokens.

    Args:
        layers: stock ``Qwen2_5_VLDecoderLayer`` modules, on any devices.
        hidden: embeddings [n, hidden_size].
        cos: [n, head_dim]; sin likewise.
        sin: see cos.
        context: takes the new keys and values; advanced only when every layer has run, so that
            an exception leaves it as it was.

    Returns:
        [n, hidden_size], before the final norm.

    """
    n = hidden.shape[0]
    context.reserve(n)
    for index, layer in enumerate(layers):
        attention = layer.self_attn
        device = attention.q_proj.weight.device
        # Only does anything where a model is spread over several devices.
        hidden, cos, sin = (x.to(device) for x in (hidden, cos, sin))
        x = layer.input_layernorm(hidden)
        query, key, value = (
            projection(x).view(n, -1, attention.head_dim).transpose(0, 1)
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj))
        attended = context.attend(index, rotate(query, cos, sin), rotate(key, cos, sin), value)
        hidden = hidden + attention.o_proj(attended.transpose(0, 1).reshape(n, -1))
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    context.advance(n)
    return hidden
