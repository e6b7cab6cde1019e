# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The decoder's weights, joined: what is multiplied by the same thing is one matrix."""

from __future__ import annotations

from typing import Any

from streamvlm_ros.engine.models.weights import LayerWeights
from streamvlm_ros.engine.ops.weights import join, share

# The decoder layers' matrices that may be held in few bits.
PROJECTIONS = {
    'self_attn': ('q_proj', 'k_proj', 'v_proj', 'o_proj'),
    'mlp': ('gate_proj', 'up_proj', 'down_proj'),
}


def layer_weights(layer: Any) -> LayerWeights:
    """Join a stock decoder layer's weights and make its parameters views.

    Biases of queries, keys and values, and norms of queries and keys, are there or not.
    """
    attention, mlp = layer.self_attn, layer.mlp
    projections = [attention.q_proj, attention.k_proj, attention.v_proj]
    norms = [getattr(attention, name, None) for name in ('q_norm', 'k_norm')]
    return LayerWeights(
        layer.input_layernorm.weight,
        layer.input_layernorm.variance_epsilon,
        join(projections),
        None if projections[0].bias is None else share([each.bias for each in projections]),
        attention.o_proj.weight,
        layer.post_attention_layernorm.weight,
        join([mlp.gate_proj, mlp.up_proj]),
        mlp.down_proj.weight,
        *(None if norm is None else norm.weight for norm in norms),
    )
