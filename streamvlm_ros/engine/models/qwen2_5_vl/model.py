# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Qwen2.5-VL that keeps its own positions over a stream."""

from __future__ import annotations

import functools
from typing import Any

import torch
from transformers import Qwen2_5_VLConfig

from streamvlm_ros.engine.models.base import ModelFamily
from streamvlm_ros.engine.models.folder.rope import stretched_positions
from streamvlm_ros.engine.models.position_rule import PositionRule
from streamvlm_ros.engine.models.preprocessing import ImageProcessorConfig
from streamvlm_ros.engine.models.qwen.checkpoint import Layout
from streamvlm_ros.engine.models.qwen.model import QwenModel, TOKENS
from streamvlm_ros.engine.models.qwen2_5_vl.config import load_config, MODEL_TYPE, read_config
from streamvlm_ros.engine.models.qwen2_5_vl.forward import StockForward
from streamvlm_ros.engine.models.qwen2_5_vl.modules import VisionLanguageModel, WHOLE
from streamvlm_ros.engine.models.qwen2_5_vl.positions import SecondsTime
from streamvlm_ros.engine.models.qwen2_5_vl.rebase import rebase_plan
from streamvlm_ros.engine.models.qwen2_5_vl.vision import encode_video
from streamvlm_ros.engine.models.qwen2_5_vl.weights import VisionWeights
from streamvlm_ros.engine.ops.operations import Operations, operations_for, TORCH
from streamvlm_ros.engine.ops.rotary import MRope
from streamvlm_ros.engine.positions import Grid

# Positions that Qwen2.5-VL was trained on; its configuration names four times as many.
TRAINED_POSITIONS = 32768


class StreamQwenModel(StockForward, QwenModel):
    """Qwen2.5-VL with the stock weights, name by name, and a position state of its own."""

    layout = Layout(
        architecture='Qwen2_5_VLForConditionalGeneration',
        # Published checkpoints have the names of transformers 4.
        names=(('visual.', 'model.visual.'), ('model.', 'model.language_model.')),
        whole=WHOLE,
    )
    load_config = staticmethod(load_config)
    make_parts = staticmethod(VisionLanguageModel)

    def __init__(self, config: Qwen2_5_VLConfig) -> None:
        """Build the model with random weights; ``from_pretrained`` loads real ones."""
        super().__init__(config)
        self.reset_stream_state()

    @property
    def family(self) -> ModelFamily:
        """See ``StreamingModel``."""
        return QWEN2_5_VL

    @property
    def trained_positions(self) -> int:
        """See ``StreamingModel``."""
        return stretched_positions(self.config.text_config, TRAINED_POSITIONS)

    @functools.cached_property
    def position_rule(self) -> PositionRule:
        """See ``StreamingModel``."""
        rate = self.config.vision_config.tokens_per_second
        return PositionRule(self.parts.video_token_id, SecondsTime(rate), rebase_plan)

    @functools.cached_property
    def rotation(self) -> MRope:
        """See ``StreamingModel``: the axes have one section of frequencies each."""
        # Made at the first prefill: before that the weights may not be loaded yet.
        sections = self.config.text_config.rope_parameters['mrope_section']
        rotary = self.model.language_model.rotary_emb
        return MRope(
            rotary.inv_freq,
            torch.repeat_interleave(torch.arange(3), torch.tensor(sections)),
            rotary.attention_scaling,
        )

    @functools.cached_property
    def vision(self) -> VisionWeights:
        """The ViT's weights; the modules' parameters are views of them from now on."""
        return VisionWeights.owning(self.model.visual)

    def encode_video(
        self, patches: torch.Tensor, grid: Grid, operations: Operations | None = None
    ) -> torch.Tensor:
        """See ``StreamingModel``, and ``vision.encode_video``."""
        weight = self.vision.visual.patch_embed.proj.weight
        if operations is None:
            operations = operations_for(weight) if self.fits_kernels else TORCH
        # Triton launches on the current GPU, wherever the tensors are.
        with torch.cuda.device_of(weight):
            return encode_video(
                self.vision, patches.to(weight.device, weight.dtype), grid, operations
            )

    def description(self) -> dict[str, Any]:
        """See ``StreamingModel``."""
        visual = self.model.visual
        return {
            **self.text_description(),
            'model.tokens_per_second': float(self.config.vision_config.tokens_per_second),
            'vision.heads': visual.blocks[0].attn.num_heads,
            'vision.rotation': visual.rotary_pos_emb.inv_freq.float().tolist(),
            'vision.window': visual.window_size // visual.spatial_merge_size // visual.patch_size,
            'vision.full_attention': [
                index
                for index in range(len(visual.blocks))
                if index in visual.fullatt_block_indexes
            ],
        }


QWEN2_5_VL = ModelFamily(
    model_type=MODEL_TYPE,
    name='Qwen2.5-VL',
    tokens=TOKENS,
    pixels=ImageProcessorConfig(
        patch_size=14,
        temporal_patch_size=2,
        merge_size=2,
        min_pixels=56 * 56,
        max_pixels=28 * 28 * 1280,
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
    ),
    read_config=read_config,
    load=lambda path, **kwargs: StreamQwenModel.from_pretrained(path, **kwargs),
    build=lambda path: StreamQwenModel(load_config(path)),
)
