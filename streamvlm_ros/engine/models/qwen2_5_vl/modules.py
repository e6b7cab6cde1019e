# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The modules that hold Qwen2.5-VL's weights, with the names that transformers 5 gives them.

See ``qwen.modules`` for those of several families, and for the order in which they are made.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from streamvlm_ros.engine.models.qwen.modules import (
    DecoderLayer,
    GatedMLP,
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
    """Grouped-query attention of the decoder."""

    def __init__(self, config: Any) -> None:
        """Make its matrices, of a text configuration."""
        super().__init__()
        width, heads = config.hidden_size, config.num_attention_heads
        self.head_dim = head_width(config)
        if width != heads * self.head_dim:
            raise ValueError(
                f'hidden_size is {width} and num_attention_heads {heads}; heads of '
                f'{self.head_dim} channels would be {heads * self.head_dim} wide together.'
            )
        keys = config.num_key_value_heads * self.head_dim
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, keys)
        self.v_proj = nn.Linear(width, keys)
        self.o_proj = nn.Linear(width, width, bias=False)


class VisionBlock(nn.Module):
    """A block of the ViT."""

    def __init__(self, config: Any) -> None:
        """Make its modules, of a vision configuration."""
        super().__init__()
        width = config.hidden_size
        self.norm1 = RMSNorm(width, VISION_EPSILON)
        self.norm2 = RMSNorm(width, VISION_EPSILON)
        self.attn = VisionAttention(width, config.num_heads)
        self.mlp = GatedMLP(width, config.intermediate_size, bias=True)


class PatchMerger(nn.Module):
    """From the hidden states of a square of patches to the embedding of a token."""

    def __init__(self, config: Any) -> None:
        """Make its modules, of a vision configuration."""
        super().__init__()
        inner = config.hidden_size * config.spatial_merge_size**2
        self.ln_q = RMSNorm(config.hidden_size, VISION_EPSILON)
        self.mlp = nn.Sequential(
            nn.Linear(inner, inner), nn.GELU(), nn.Linear(inner, config.out_hidden_size)
        )


class VisionModel(nn.Module):
    """The ViT."""

    def __init__(self, config: Any) -> None:
        """Make its modules, of a vision configuration."""
        super().__init__()
        self.spatial_merge_size = config.spatial_merge_size
        self.patch_size = config.patch_size
        self.fullatt_block_indexes = config.fullatt_block_indexes
        self.window_size = config.window_size
        self.patch_embed = PatchEmbedding(config, bias=False)
        self.rotary_pos_emb = Rotary(config, config.hidden_size // config.num_heads // 2)
        self.blocks = nn.ModuleList(VisionBlock(config) for _ in range(config.depth))
        self.merger = PatchMerger(config)
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
