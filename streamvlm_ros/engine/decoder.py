# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The language model's layers, run on stock modules over a KV context."""

from __future__ import annotations

from typing import Any

import torch

from streamvlm_ros.engine.attention import attend
from streamvlm_ros.engine.cache import KVContext


class MRope:
    """Rotation of queries and keys by three position axes.

    Frequencies are dealt out to T, H and W in the sections of ``mrope_section``
    (Qwen2-VL, arXiv 2409.12191, section 2.1).
    """

    def __init__(self, inv_freq: torch.Tensor, sections: list[int]) -> None:
        """Take frequencies [head_dim / 2] and the share of each axis, which sum to that."""
        self._inv_freq = inv_freq.float()
        self._axis = torch.repeat_interleave(torch.arange(3), torch.tensor(sections))

    def __call__(self, positions: torch.Tensor, dtype: torch.dtype,
                 ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosine and sine [n, head_dim] for int64 positions [3, n]."""
        axis = self._axis.to(positions.device)
        angles = positions[axis].T.float() * self._inv_freq.to(positions.device)
        angles = torch.cat([angles, angles], dim=-1)
        return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotate [heads, n, head_dim] by cosine and sine [n, head_dim]."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def run_layers(layers: Any, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor,
               context: KVContext, mask: torch.Tensor) -> torch.Tensor:
    """Run all decoder layers on new tokens.

    Args:
        layers: stock ``Qwen2_5_VLDecoderLayer`` modules, on any devices.
        hidden: embeddings [n, hidden_size].
        cos: [n, head_dim]; sin likewise.
        sin: see cos.
        context: takes the new keys and values; advanced only when every layer has run, so that
            an exception leaves it as it was.
        mask: bool [n, m] over the context's own piece.

    Returns:
        [n, hidden_size], before the final norm.

    """
    n = hidden.shape[0]
    context.reserve(n)
    for index, layer in enumerate(layers):
        attention = layer.self_attn
        device = attention.q_proj.weight.device
        # Only does anything where a model is spread over several devices.
        hidden, cos, sin, mask = (x.to(device) for x in (hidden, cos, sin, mask))
        x = layer.input_layernorm(hidden)
        query, key, value = (
            projection(x).view(n, -1, attention.head_dim).transpose(0, 1)
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj))
        seen, own = context.write(index, rotate(key, cos, sin), value)
        attended = attend(rotate(query, cos, sin), seen, own, mask)
        hidden = hidden + attention.o_proj(attended.transpose(0, 1).reshape(n, -1))
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    context.advance(n)
    return hidden
