# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Modules that hold the weights of several Qwen families, with the names of transformers 5.

They compute nothing: the engine runs its own decoder and ViT over their weights.  So that a random
model is transformers' own for the same seed, modules are made and filled in its order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

VISION_BASE = 10000.0  # of the ViT's rotation, which configurations need not name
INITIAL_DEVIATION = 0.02


class RMSNorm(nn.Module):
    """The scale of an RMSNorm."""

    def __init__(self, width: int, epsilon: float) -> None:
        """Make a scale of ones."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.variance_epsilon = epsilon


class GatedMLP(nn.Module):
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, width: int, inner: int, bias: bool) -> None:
        """Make its matrices, with biases or without."""
        super().__init__()
        self.gate_proj = nn.Linear(width, inner, bias=bias)
        self.up_proj = nn.Linear(width, inner, bias=bias)
        self.down_proj = nn.Linear(inner, width, bias=bias)


class Rotary(nn.Module):
    """Frequencies that queries and keys are rotated with; not part of a model's state.

    Attributes:
        inv_freq: float32 [width of a head / 2] for text, [width of a head / 4] for vision.
        attention_scaling: what cosine and sine are multiplied by.

    """

    inv_freq: torch.Tensor

    def __init__(self, config: Any, width: int) -> None:
        """Make them.

        Args:
            config: of text or vision.
            width: of what one axis rotates: a head, or half of one in the ViT.

        """
        super().__init__()
        self._config, self._width = config, width
        self.register_buffer('inv_freq', None, persistent=False)
        self.reset(torch.get_default_device())

    def reset(self, device: torch.device) -> None:
        """Compute the frequencies anew: on the CPU, so that they are the same on every device."""
        parameters = getattr(self._config, 'rope_parameters', None) or {}
        kind, host = parameters.get('rope_type', 'default'), torch.device('cpu')
        if kind in ('default', 'axial'):
            exponent = torch.arange(0, self._width, 2, dtype=torch.float, device=host)
            base = parameters.get('rope_theta', VISION_BASE)
            found, self.attention_scaling = 1.0 / (base ** (exponent / self._width)), 1.0
        else:
            # Some of what transformers makes takes the default device, which may be meta.
            with host:
                found, self.attention_scaling = ROPE_INIT_FUNCTIONS[kind](self._config, host)
        self.inv_freq = found.to(device)


class Embedding(nn.Embedding):
    """Embeddings of tokens."""

    def reset_parameters(self) -> None:
        """Draw random numbers, but not on the meta device: PyTorch loads its compiler for that."""
        if not self.weight.is_meta:
            super().reset_parameters()


def head_width(config: Any) -> int:
    """Return the width of a head, of a text configuration."""
    return getattr(config, 'head_dim', None) or config.hidden_size // config.num_attention_heads


class DecoderLayer(nn.Module):
    """A layer of the language model."""

    def __init__(self, config: Any, attention: Callable[[Any], nn.Module]) -> None:
        """Make its modules, of a text configuration; ``attention`` makes that of one."""
        super().__init__()
        width, epsilon = config.hidden_size, config.rms_norm_eps
        self.self_attn = attention(config)
        self.mlp = GatedMLP(width, config.intermediate_size, bias=False)
        self.input_layernorm = RMSNorm(width, epsilon)
        self.post_attention_layernorm = RMSNorm(width, epsilon)


class TextModel(nn.Module):
    """The language model without its head."""

    def __init__(self, config: Any, attention: Callable[[Any], nn.Module]) -> None:
        """Make its modules, of a text configuration; the arguments are those of a layer."""
        super().__init__()
        width = config.hidden_size
        self.embed_tokens = Embedding(config.vocab_size, width)
        self.layers = nn.ModuleList(
            DecoderLayer(config, attention) for _ in range(config.num_hidden_layers)
        )
        self.norm = RMSNorm(width, config.rms_norm_eps)
        self.rotary_emb = Rotary(config, head_width(config))
        initialize(self, config)
        padding = config.pad_token_id
        if padding is not None and not self.embed_tokens.weight.is_meta:
            self.embed_tokens.weight.data[padding] = 0.0


class VisionAttention(nn.Module):
    """Attention of the ViT."""

    def __init__(self, width: int, heads: int) -> None:
        """Make its matrices."""
        super().__init__()
        self.num_heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)


class PatchEmbedding(nn.Module):
    """From the numbers of a patch to a hidden state: a convolution that is one product."""

    def __init__(self, config: Any, bias: bool) -> None:
        """Make its matrix, of a vision configuration, with a bias or without."""
        super().__init__()
        side = config.patch_size
        size = (config.temporal_patch_size, side, side)
        self.proj = nn.Conv3d(config.in_channels, config.hidden_size, size, size, bias=bias)


def initialize(module: nn.Module, config: Any) -> None:
    """Fill a module with random weights by transformers' rule; on the meta device do nothing.

    Matrices are normal with the configuration's ``initializer_range``, biases are zero.
    """
    deviation = getattr(config, 'initializer_range', None) or INITIAL_DEVIATION

    @torch.no_grad()
    def fill(part: nn.Module) -> None:
        if not isinstance(part, (nn.Linear, nn.Conv3d, nn.Embedding)) or part.weight.is_meta:
            return
        part.weight.normal_(std=deviation)
        if not isinstance(part, nn.Embedding) and part.bias is not None:
            part.bias.zero_()

    module.apply(fill)
