# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ViT's weights, joined: what is multiplied by the same thing is one matrix."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
from typing import Any

import torch
from torch.nn import functional

# bf16 rows of other lengths are not read at full speed: they begin at odd addresses.
PADDING = 64


@dataclasses.dataclass(frozen=True)
class BlockWeights:
    """One block of the ViT; names as in ``LayerWeights``, every product with a bias.

    The intermediate width may be padded with zeros, which changes nothing: silu(0) * 0 is 0.

    Attributes:
        full: attends over whole temporal patches, not inside windows.
        heads: how many.

    """

    norm: torch.Tensor
    epsilon: float
    qkv: torch.Tensor
    qkv_bias: torch.Tensor
    out: torch.Tensor
    out_bias: torch.Tensor
    mlp_norm: torch.Tensor
    gate_up: torch.Tensor
    gate_up_bias: torch.Tensor
    down: torch.Tensor
    down_bias: torch.Tensor
    full: bool
    heads: int

    @classmethod
    def of(cls, block: Any, full: bool) -> BlockWeights:
        """Join a stock ``Qwen2_5_VLVisionBlock``'s weights; gradients flow back to them."""
        mlp = block.mlp
        width = mlp.gate_proj.weight.shape[0]
        more = -width % PADDING if mlp.gate_proj.weight.is_cuda else 0
        pad = (0, 0, 0, more)
        return cls(
            block.norm1.weight,
            block.norm1.variance_epsilon,
            block.attn.qkv.weight,
            block.attn.qkv.bias,
            block.attn.proj.weight,
            block.attn.proj.bias,
            block.norm2.weight,
            torch.cat([functional.pad(each.weight, pad) for each in (mlp.gate_proj, mlp.up_proj)]),
            torch.cat(
                [functional.pad(each.bias, (0, more)) for each in (mlp.gate_proj, mlp.up_proj)]
            ),
            functional.pad(mlp.down_proj.weight, (0, more)),
            mlp.down_proj.bias,
            full,
            block.attn.num_heads,
        )

    def own(self, block: Any) -> BlockWeights:
        """Make the parameters that were joined views of what they were joined to."""
        mlp = block.mlp
        width, joined = mlp.gate_proj.weight.shape[0], self.gate_up.shape[0] // 2
        with torch.no_grad():
            for first, module in ((0, mlp.gate_proj), (joined, mlp.up_proj)):
                module.weight.data = self.gate_up[first : first + width]
                module.bias.data = self.gate_up_bias[first : first + width]
            mlp.down_proj.weight.data = self.down[:, :width]
        return self


@dataclasses.dataclass(frozen=True)
class VisionWeights:
    """The ViT: its blocks joined, the rest as stock modules.

    Attributes:
        visual: stock ``Qwen2_5_VisionTransformerPretrainedModel``.
        blocks: its blocks.

    """

    visual: Any
    blocks: Sequence[BlockWeights]

    @classmethod
    def of(cls, visual: Any) -> VisionWeights:
        """Join a stock ViT's weights; gradients flow back to them."""
        return cls(
            visual,
            [
                BlockWeights.of(block, index in visual.fullatt_block_indexes)
                for index, block in enumerate(visual.blocks)
            ],
        )

    @classmethod
    def owning(cls, visual: Any) -> VisionWeights:
        """Join them for good, block by block: the stock parameters become views."""
        with torch.inference_mode(False), torch.no_grad():
            return cls(
                visual,
                [
                    BlockWeights.of(block, index in visual.fullatt_block_indexes).own(block)
                    for index, block in enumerate(visual.blocks)
                ],
            )
