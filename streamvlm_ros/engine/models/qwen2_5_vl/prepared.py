# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is made of a model's weights once, at its first use."""

from __future__ import annotations

import functools
from typing import Any, TYPE_CHECKING

import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from streamvlm_ros.engine.ops.operations import operations_for, TORCH
from streamvlm_ros.engine.ops.quantization import quantize_layers
from streamvlm_ros.engine.ops.rotary import MRope
from streamvlm_ros.engine.ops.weights import LayerWeights, VisionWeights

if TYPE_CHECKING:
    from streamvlm_ros.engine.questions.decoder import Decoding
    from streamvlm_ros.engine.runner.model_runner import ModelRunner


class PreparedModel(Qwen2_5_VLForConditionalGeneration):
    """Stock Qwen2.5-VL with its weights joined, and the passes over them."""

    @functools.cached_property
    def rotation(self) -> MRope:
        """What queries and keys are rotated by."""
        # Once, at the first prefill: before that the weights may not be loaded yet.
        return MRope(
            self.model.language_model.rotary_emb.inv_freq,
            self.config.text_config.rope_parameters['mrope_section'],
        )

    @functools.cached_property
    def layers(self) -> list[LayerWeights]:
        """The decoder's weights; the modules' parameters are views of them from now on."""
        return [LayerWeights.of(layer) for layer in self.model.language_model.layers]

    @functools.cached_property
    def vision(self) -> VisionWeights:
        """The ViT's weights; the modules' parameters are views of them from now on."""
        return VisionWeights.owning(self.model.visual)

    @functools.cached_property
    def passes(self) -> ModelRunner | None:
        """The fast way on one GPU; None where there is none."""
        half = self.model.language_model.layers[0].self_attn.head_dim // 2
        fits = half & (half - 1) == 0 and half >= 8
        one = len({parameter.device for parameter in self.parameters()}) == 1
        if not (one and fits) or operations_for(self.get_input_embeddings().weight) is TORCH:
            return None
        # Only here is Triton needed.
        from streamvlm_ros.engine.runner.model_runner import ModelRunner

        return ModelRunner(self)

    @functools.cached_property
    def decoding(self) -> Decoding | None:
        """Decodes answers on one GPU; None where there is none."""
        if self.passes is None:
            return None
        from streamvlm_ros.engine.questions.decoder import Decoding

        return Decoding(self.passes)

    def quantize(self, bits: int, device: str | None = None) -> None:
        """Hold the decoder's matrices in 8 or 4 bits; see ``quantized.quantize_layers``."""
        self._forget()
        with torch.no_grad():
            quantize_layers(self.model.language_model.layers, bits, device)

    def _apply(self, *args: Any, **kwargs: Any) -> PreparedModel:
        """Move or convert the parameters: what was made of them is made anew."""
        self._forget()
        return super()._apply(*args, **kwargs)

    def _forget(self) -> None:
        for made in ('rotation', 'layers', 'vision', 'passes', 'decoding'):
            self.__dict__.pop(made, None)
