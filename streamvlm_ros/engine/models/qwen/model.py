# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What models of several Qwen families have in common: how they are made, read and written."""

from __future__ import annotations

import abc
import functools
import os
import pathlib
from typing import Any, ClassVar, TypeVar

import torch
from transformers import GenerationConfig

from streamvlm_ros.engine.models.base import SpecialTokens, StreamingModel
from streamvlm_ros.engine.models.decoder import DecoderParts
from streamvlm_ros.engine.models.devices import Device, DeviceMap
from streamvlm_ros.engine.models.folder.awq import hold_awq
from streamvlm_ros.engine.models.folder.checkpoint import check_checkpoint
from streamvlm_ros.engine.models.folder.quantized import read_quantization
from streamvlm_ros.engine.models.folder.weight_files import check_weights
from streamvlm_ros.engine.models.generation import GenerationSettings
from streamvlm_ros.engine.models.qwen.checkpoint import (
    build_empty,
    Layout,
    load_generation,
    load_weights,
    save_model,
)
from streamvlm_ros.engine.models.qwen.config import shape_difference
from streamvlm_ros.engine.models.qwen.modules import initialize
from streamvlm_ros.engine.models.qwen.weights import layer_weights, PROJECTIONS
from streamvlm_ros.engine.models.weights import LayerWeights

TOKENS = SpecialTokens(
    video='<|video_pad|>',
    vision_start='<|vision_start|>',
    vision_end='<|vision_end|>',
    turn_start='<|im_start|>',
    turn_end='<|im_end|>',
)
Model = TypeVar('Model', bound='QwenModel')


class QwenModel(StreamingModel):
    """A Qwen model with the stock weights, name by name.

    Attributes:
        layout: what the family's folders are like.
        config: the model's, as transformers has it.
        generation_config: what the model's folder says about answers, as transformers has it.
        hf_device_map: where its modules are, if they are spread over devices.

    """

    recordable = True
    layout: ClassVar[Layout]
    config: Any
    # The layers of a ModuleList have no types of their own.
    model: Any
    lm_head: Any

    def __init__(self, config: Any) -> None:
        """Build the model with random weights; ``from_pretrained`` loads real ones.

        Raises:
            ValueError: the configuration is one of which no model can be built.

        """
        super().__init__()
        text = config.text_config
        if any(kind != 'full_attention' for kind in getattr(text, 'layer_types', None) or ()):
            raise ValueError('Models with sliding-window layers are not supported.')
        self.config = config
        self.generation_config: Any = GenerationConfig.from_model_config(config)
        self.hf_device_map: dict[str, str] = {}
        self.model = self.make_parts(config)
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
            side_outputs=len(getattr(config.vision_config, 'deepstack_visual_indexes', ())),
        )
        awq = read_quantization('The configuration', vars(config))
        if awq is not None:
            hold_awq(decoder.layers, PROJECTIONS, awq, self.layout.layers)

    @staticmethod
    @abc.abstractmethod
    def load_config(path: str | os.PathLike[str]) -> Any:
        """Return the configuration of a hub id or a folder, checked."""

    @staticmethod
    @abc.abstractmethod
    def make_parts(config: Any) -> torch.nn.Module:
        """Make ViT and language model of a configuration, with random weights."""

    @classmethod
    def from_pretrained(
        cls: type[Model],
        path: str | os.PathLike[str],
        *,
        dtype: torch.dtype | str | None = None,
        device_map: Device | DeviceMap | None = None,
    ) -> Model:
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
        config = cls.load_config(path)
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
    def generation(self) -> GenerationSettings:
        """See ``StreamingModel``."""
        return GenerationSettings.of(self.generation_config)

    @functools.cached_property
    def layers(self) -> list[LayerWeights]:
        """The decoder's weights; the modules' parameters are views of them from now on."""
        return [layer_weights(layer) for layer in self.parts.layers]

    def text_description(self) -> dict[str, Any]:
        """Return what ``description`` says of the decoder."""
        decoder, parts = self.model.language_model, self.parts
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
        }
