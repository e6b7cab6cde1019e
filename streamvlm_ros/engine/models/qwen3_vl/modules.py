# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The modules that hold Qwen3-VL's weights, with the names that transformers 5 gives them.

See ``qwen.modules`` for those of several families, and for the order in which they are made.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from streamvlm_ros.engine.models.qwen.modules import (
    DecoderLayer,
    Embedding,
    head_width,
    initialize,
    PatchEmbedding,
    RMSNorm,
    Rotary,
    TextModel,
    VisionAttention,
)

VISION_EPSILON = 1e-6


class Attention(nn.Module):
    """Grouped-query attention of the decoder, with norms of queries and keys."""

    def __init__(self, config: Any) -> None:
        """Make its matrices, of a text configuration."""
        super().__init__()
        width, self.head_dim = config.hidden_size, head_width(config)
        queries = config.num_attention_heads * self.head_dim
        keys = config.num_key_value_heads * self.head_dim
        self.q_proj = nn.Linear(width, queries, bias=False)
        self.k_proj = nn.Linear(width, keys, bias=False)
        self.v_proj = nn.Linear(width, keys, bias=False)
        self.o_proj = nn.Linear(queries, width, bias=False)
        self.q_norm = RMSNorm(self.head_dim, config.rms_norm_eps)
        self.k_norm = RMSNorm(self.head_dim, config.rms_norm_eps)


class VisionMLP(nn.Module):
    """fc2(gelu(fc1(x))), where gelu is computed with tanh."""

    def __init__(self, config: Any) -> None:
        """Make its matrices, of a vision configuration."""
        super().__init__()
        self.linear_fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.linear_fc2 = nn.Linear(config.intermediate_size, config.hidden_size)


class VisionBlock(nn.Module):
    """A block of the ViT."""

    def __init__(self, config: Any) -> None:
        """Make its modules, of a vision configuration."""
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, VISION_EPSILON)
        self.norm2 = nn.LayerNorm(config.hidden_size, VISION_EPSILON)
        self.attn = VisionAttention(config.hidden_size, config.num_heads)
        self.mlp = VisionMLP(config)


class PatchMerger(nn.Module):
    """From the hidden states of a square of patches to what the decoder is given of a token."""

    def __init__(self, config: Any, joined_norm: bool) -> None:
        """Make its modules, of a vision configuration.

        Args:
            config: of vision.
            joined_norm: the norm is over all patches of a token together.

        """
        super().__init__()
        inner = config.hidden_size * config.spatial_merge_size**2
        self.norm = nn.LayerNorm(inner if joined_norm else config.hidden_size, VISION_EPSILON)
        self.linear_fc1 = nn.Linear(inner, inner)
        self.linear_fc2 = nn.Linear(inner, config.out_hidden_size)


class VisionModel(nn.Module):
    """The ViT.

    Attributes:
        deepstack_visual_indexes: blocks after which features go to the first decoder layers.

    """

    def __init__(self, config: Any) -> None:
        """Make its modules, of a vision configuration."""
        super().__init__()
        self.spatial_merge_size = config.spatial_merge_size
        self.deepstack_visual_indexes = tuple(config.deepstack_visual_indexes)
        self.patch_embed = PatchEmbedding(config, bias=True)
        self.pos_embed = Embedding(config.num_position_embeddings, config.hidden_size)
        self.rotary_pos_emb = Rotary(config, config.hidden_size // config.num_heads // 2)
        self.blocks = nn.ModuleList(VisionBlock(config) for _ in range(config.depth))
        self.merger = PatchMerger(config, joined_norm=False)
        self.deepstack_merger_list = nn.ModuleList(
            PatchMerger(config, joined_norm=True) for _ in self.deepstack_visual_indexes
        )
        initialize(self, config)


class VisionLanguageModel(nn.Module):
    """ViT and language model."""

    def __init__(self, config: Any) -> None:
        """Make both, of a whole configuration."""
        super().__init__()
        self.visual = VisionModel(config.vision_config)
        self.language_model = TextModel(config.text_config, Attention)


# What is joined and run as one has to be on one device.
WHOLE = tuple(each.__name__ for each in (DecoderLayer, VisionBlock, PatchMerger))
