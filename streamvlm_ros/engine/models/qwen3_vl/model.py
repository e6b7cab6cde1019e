# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Qwen3-VL as the engine runs it."""

from __future__ import annotations

import functools
from typing import Any

import torch

from streamvlm_ros.engine.models.base import ModelFamily
from streamvlm_ros.engine.models.folder.rope import stretched_positions
from streamvlm_ros.engine.models.position_rule import PositionRule
from streamvlm_ros.engine.models.qwen.checkpoint import Layout
from streamvlm_ros.engine.models.qwen.model import QwenModel, TOKENS
from streamvlm_ros.engine.models.qwen3_vl.config import load_config, MODEL_TYPE, read_config
from streamvlm_ros.engine.models.qwen3_vl.modules import VisionLanguageModel, WHOLE
from streamvlm_ros.engine.models.qwen3_vl.pixels import FramePixels, MOST_TOKENS
from streamvlm_ros.engine.models.qwen3_vl.positions import (
    interleaved_axes,
    rebase_plan,
    SECONDS,
    StillTime,
)
from streamvlm_ros.engine.models.qwen3_vl.vision import encode_video
from streamvlm_ros.engine.ops.operations import Operations, operations_for, TORCH
from streamvlm_ros.engine.ops.rotary import MRope
from streamvlm_ros.engine.positions import Grid

TRAINED_POSITIONS = 262144  # positions that Qwen3-VL was trained on


class StreamQwen3Model(QwenModel):
    """Qwen3-VL with the stock weights, name by name."""

    layout = Layout(
        architecture='Qwen3VLForConditionalGeneration',
        names=(),  # published checkpoints have the names of transformers 5
        whole=WHOLE,
    )
    load_config = staticmethod(load_config)
    make_parts = staticmethod(VisionLanguageModel)

    @property
    def family(self) -> ModelFamily:
        """See ``StreamingModel``."""
        return QWEN3_VL

    @property
    def trained_positions(self) -> int:
        """See ``StreamingModel``."""
        return stretched_positions(self.config.text_config, TRAINED_POSITIONS)

    @functools.cached_property
    def position_rule(self) -> PositionRule:
        """See ``StreamingModel``."""
        return PositionRule(self.parts.video_token_id, StillTime(), rebase_plan)

    @functools.cached_property
    def rotation(self) -> MRope:
        """See ``StreamingModel``: the axes take turns."""
        # Made at the first prefill: before that the weights may not be loaded yet.
        rotary = self.model.language_model.rotary_emb
        section = self.config.text_config.rope_parameters['mrope_section']
        axes = interleaved_axes(section, len(rotary.inv_freq))
        return MRope(rotary.inv_freq, axes, rotary.attention_scaling)

    def encode_video(
        self, patches: torch.Tensor, grid: Grid, operations: Operations | None = None
    ) -> torch.Tensor:
        """See ``StreamingModel``, and ``vision.encode_video``."""
        visual = self.model.visual
        weight = visual.patch_embed.proj.weight
        if operations is None:
            operations = operations_for(weight) if self.fits_kernels else TORCH
        # Triton launches on the current GPU, wherever the tensors are.
        with torch.cuda.device_of(weight):
            return encode_video(visual, patches.to(weight.device), grid, operations)

    def description(self) -> dict[str, Any]:
        """See ``StreamingModel``."""
        visual = self.model.visual
        return {
            **self.text_description(),
            'vision.heads': visual.blocks[0].attn.num_heads,
            'vision.rotation': visual.rotary_pos_emb.inv_freq.float().tolist(),
            'vision.table': list(visual.pos_embed.weight.shape),
            'vision.side_outputs': list(visual.deepstack_visual_indexes),
        }


QWEN3_VL = ModelFamily(
    model_type=MODEL_TYPE,
    name='Qwen3-VL',
    tokens=TOKENS,
    pixels=FramePixels(
        patch_size=16,
        temporal_patch_size=2,
        merge_size=2,
        min_pixels=32 * 32,
        max_pixels=32 * 32 * MOST_TOKENS,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    ),
    read_config=read_config,
    load=lambda path, **kwargs: StreamQwen3Model.from_pretrained(path, **kwargs),
    build=lambda path: StreamQwen3Model(load_config(path)),
    patch_text=SECONDS,
)
