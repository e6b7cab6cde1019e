# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Qwen2.5-VL that keeps its own positions over a stream."""

from __future__ import annotations

import functools
import os
import pathlib
from typing import Any

import torch
from transformers import GenerationConfig, Qwen2_5_VLConfig

from streamvlm_ros.engine.models.base import ModelFamily, SpecialTokens
from streamvlm_ros.engine.models.decoder import DecoderParts
from streamvlm_ros.engine.models.devices import Device, DeviceMap
from streamvlm_ros.engine.models.folder.awq import hold_awq
from streamvlm_ros.engine.models.folder.checkpoint import check_checkpoint
from streamvlm_ros.engine.models.folder.quantized import read_quantization
from streamvlm_ros.engine.models.folder.rope import stretched_positions
from streamvlm_ros.engine.models.folder.weight_files import check_weights
from streamvlm_ros.engine.models.generation import GenerationSettings
from streamvlm_ros.engine.models.position_rule import PositionRule
from streamvlm_ros.engine.models.preprocessing import ImageProcessorConfig
from streamvlm_ros.engine.models.qwen2_5_vl.checkpoint import (
    build_empty,
    load_generation,
    load_weights,
    save_model,
)
from streamvlm_ros.engine.models.qwen2_5_vl.config import (
    load_config,
    MODEL_TYPE,
    read_config,
    shape_difference,
)
from streamvlm_ros.engine.models.qwen2_5_vl.forward import StockForward
from streamvlm_ros.engine.models.qwen2_5_vl.modules import initialize, VisionLanguageModel
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

# Positions that Qwen2.5-VL was trained on; its configuration names four times as many.
TRAINED_POSITIONS = 32768
PUBLISHED_LAYERS = 'model.layers'  # where a published checkpoint has the decoder's layers


class StreamQwenModel(StockForward):
    """Qwen2.5-VL with the stock weights, name by name, and a position state of its own.

    Attributes:
        generation_config: what the model's folder says about answers, as transformers has it.
        hf_device_map: where its modules are, if they are spread over devices.

    """

    recordable = True
    # The layers of a ModuleList have no types of their own.
    model: Any
    lm_head: Any

    def __init__(self, config: Qwen2_5_VLConfig) -> None:
        """Build the model with random weights; ``from_pretrained`` loads real ones."""
        super().__init__()
        text = config.text_config
        if any(kind != 'full_attention' for kind in getattr(text, 'layer_types', None) or ()):
            raise ValueError('Models with sliding-window layers are not supported.')
        self.config = config
        self.generation_config: Any = GenerationConfig.from_model_config(config)
        self.hf_device_map: dict[str, str] = {}
        self.model = VisionLanguageModel(config)
        self.lm_head = torch.nn.Linear(text.hidden_size, text.vocab_size, bias=False)
        initialize(self.lm_head, text)
        decoder = self.model.language_model
        if config.tie_word_embeddings:
            self.lm_head.weight = decoder.embed_tokens.weight
        self.parts = DecoderParts(
            embedding=decoder.embed_tokens,
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
        awq = read_quantization('The configuration', vars(config))
        if awq is not None:
            hold_awq(decoder.layers, PROJECTIONS, awq, PUBLISHED_LAYERS)
        self.reset_stream_state()

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike[str],
        *,
        dtype: torch.dtype | str | None = None,
        device_map: Device | DeviceMap | None = None,
    ) -> StreamQwenModel:
        """Load weights from a hub id or a local folder, one tensor after another.

        Nothing in the folder is run: weights are safetensors, and code and kernels are those of
        this package.

        Args:
            path: hub id or folder in the published layout.
            dtype: of the weights, or its name; None or 'auto': as config.json says, else as the
                files have it.
            device_map: where the weights go: a device, one of accelerate's words ('balanced',
                'auto'), or devices by the names of modules, which must leave every decoder layer
                and ViT block on one device; None: PyTorch's default device.

        Raises:
            FileNotFoundError: the folder does not exist or holds no model.
            ValueError: the configuration or the weights are damaged, of another architecture, ask
                for program code, or do not fit the devices.
            StreamError: INVALID_REQUEST for a device that is not there, OUT_OF_MEMORY if the
                weights do not fit.

        """
        check_checkpoint(path)
        config = load_config(path)
        stored = check_weights(path, functools.partial(shape_difference, config))
        model = build_empty(path, lambda: cls(config))
        places = load_weights(path, model, stored, dtype, device_map)
        if len(set(places.values())) > 1:
            model.hf_device_map = {name: str(device) for name, device in places.items()}
        model.generation_config = load_generation(path) or model.generation_config
        return model.eval()

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write a folder that transformers' own class loads, too.

        Raises:
            ValueError: weights are quantized, which has no layout that transformers reads.

        """
        save_model(self, pathlib.Path(folder))

    def get_input_embeddings(self) -> torch.nn.Embedding:
        """Return the module of the token embeddings."""
        table: torch.nn.Embedding = self.model.language_model.embed_tokens
        return table

    @property
    def family(self) -> ModelFamily:
        """See ``StreamingModel``."""
        return QWEN2_5_VL

    @property
    def generation(self) -> GenerationSettings:
        """See ``StreamingModel``."""
        return GenerationSettings.of(self.generation_config)

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
