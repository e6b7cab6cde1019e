# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stock Qwen2.5-VL that keeps its own positions over a stream."""

from __future__ import annotations

from collections.abc import Sequence
import functools
import os
from typing import Any

import torch
from transformers import Qwen2_5_VLConfig

from streamvlm_ros.engine.compat import quiet_torchao
from streamvlm_ros.engine.models.base import ModelFamily, SpecialTokens
from streamvlm_ros.engine.models.decoder import DecoderParts
from streamvlm_ros.engine.models.folder.checkpoint import check_checkpoint, check_loaded
from streamvlm_ros.engine.models.folder.files import expand
from streamvlm_ros.engine.models.folder.rope import stretched_positions
from streamvlm_ros.engine.models.folder.weight_files import check_weights, only_safetensors
from streamvlm_ros.engine.models.position_rule import PositionRule
from streamvlm_ros.engine.models.preprocessing import ImageProcessorConfig
from streamvlm_ros.engine.models.qwen2_5_vl.config import (
    load_config,
    MODEL_TYPE,
    read_config,
    shape_difference,
)
from streamvlm_ros.engine.models.qwen2_5_vl.forward import StockForward
from streamvlm_ros.engine.models.qwen2_5_vl.positions import SecondsTime
from streamvlm_ros.engine.models.qwen2_5_vl.rebase import rebase_plan
from streamvlm_ros.engine.models.qwen2_5_vl.vision import encode_video
from streamvlm_ros.engine.models.qwen2_5_vl.weights import (
    layer_weights,
    PROJECTIONS,
    VisionWeights,
)
from streamvlm_ros.engine.models.weights import LayerWeights
from streamvlm_ros.engine.ops.operations import Operations, operations_for, TORCH
from streamvlm_ros.engine.ops.rotary import MRope
from streamvlm_ros.engine.positions import Grid

with quiet_torchao():
    from transformers import Qwen2_5_VLForConditionalGeneration

# Positions that Qwen2.5-VL was trained on; its configuration names four times as many.
TRAINED_POSITIONS = 32768
# Published checkpoints have the names of transformers 4; transformers maps them for its own
# class by that class's name only.
PUBLISHED_NAMES = {
    r'^visual': 'model.visual',
    r'^model(?!\.(language_model|visual))': 'model.language_model',
}

# What a folder or a hub id is not asked for, whatever it says itself.
ONLY_DATA: dict[str, Any] = {
    'use_safetensors': True,
    'trust_remote_code': False,
    'attn_implementation': 'sdpa',
    'use_kernels': False,
}


class StreamQwenModel(StockForward, Qwen2_5_VLForConditionalGeneration):
    """Qwen2.5-VL with the stock weights, name by name, and a position state of its own."""

    recordable = True
    # The stock class's, which is not typed here.
    model: Any
    lm_head: Any
    generation_config: Any
    get_input_embeddings: Any
    save_pretrained: Any

    def __init__(self, config: Qwen2_5_VLConfig) -> None:
        """Build the model with random weights; ``from_pretrained`` loads real ones."""
        super().__init__(config)
        text = config.text_config
        if any(kind != 'full_attention' for kind in getattr(text, 'layer_types', None) or ()):
            raise ValueError('Models with sliding-window layers are not supported.')
        decoder = self.model.language_model
        self.parts = DecoderParts(
            embedding=self.get_input_embeddings(),
            layers=decoder.layers,
            norm=decoder.norm,
            epsilon=decoder.norm.variance_epsilon,
            head=self.lm_head,
            heads=text.num_attention_heads,
            kv_heads=text.num_key_value_heads,
            head_size=decoder.layers[0].self_attn.head_dim,
            video_token_id=config.video_token_id,
            projections=PROJECTIONS,
        )
        self.reset_stream_state()

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str], **kwargs: Any) -> StreamQwenModel:
        """Load weights from a hub id or a local folder.

        Nothing in the folder is run: weights are safetensors, code and kernels are those of this
        package and of transformers.

        Args:
            path: hub id or folder in the published layout.
            **kwargs: as transformers takes them, e.g. ``dtype`` and accelerate's ``device_map``,
                which must leave every decoder layer and ViT block on one device.

        Raises:
            FileNotFoundError: the folder does not exist or holds no model.
            ValueError: the configuration or the weights are damaged, of another architecture, ask
                for program code, or do not fit the devices.

        """
        check_checkpoint(path)
        config = load_config(path)
        check_weights(path, functools.partial(shape_difference, config))
        with only_safetensors(path):
            model, info = super().from_pretrained(
                expand(path),
                config=config,
                output_loading_info=True,
                key_mapping=PUBLISHED_NAMES,
                ignore_mismatched_sizes=True,
                **ONLY_DATA,
                **kwargs,
            )
        check_loaded(path, model, info)
        return model.eval()

    @property
    def family(self) -> ModelFamily:
        """See ``StreamingModel``."""
        return QWEN2_5_VL

    @property
    def stop_tokens(self) -> Sequence[int]:
        """See ``StreamingModel``."""
        stop = self.generation_config.eos_token_id if self.generation_config else None
        return [] if stop is None else [stop] if isinstance(stop, int) else list(stop)

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
    def layers(self) -> list[LayerWeights]:
        """The decoder's weights; the modules' parameters are views of them from now on."""
        return [layer_weights(layer) for layer in self.parts.layers]

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
        decoder, visual = self.model.language_model, self.model.visual
        parts = self.parts
        return {
            'model.layers': len(decoder.layers),
            'model.hidden_size': parts.hidden_size,
            'model.heads': parts.heads,
            'model.kv_heads': parts.kv_heads,
            'model.head_size': parts.head_size,
            'model.rotation': decoder.rotary_emb.inv_freq.float().tolist(),
            'model.rotation_scale': float(decoder.rotary_emb.attention_scaling),
            'model.rotation_sections': list(
                self.config.text_config.rope_parameters['mrope_section']
            ),
            'model.epsilon': float(decoder.layers[0].input_layernorm.variance_epsilon),
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
    tokens=SpecialTokens(
        video='<|video_pad|>',
        vision_start='<|vision_start|>',
        vision_end='<|vision_end|>',
        turn_start='<|im_start|>',
        turn_end='<|im_end|>',
    ),
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
