# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a model family is.

To add one: a folder beside ``qwen2_5_vl`` with a subclass of ``StreamingModel`` and a
``ModelFamily``, and a row in ``registry``.  Nothing else in the engine knows a family.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
import dataclasses
import functools
import os
from typing import Any, TypeVar

import torch

from streamvlm_ros.engine.models.decoder import LanguageModel
from streamvlm_ros.engine.models.generation import GenerationSettings
from streamvlm_ros.engine.models.position_rule import PositionRule
from streamvlm_ros.engine.models.preprocessing import ImageProcessorConfig
from streamvlm_ros.engine.ops.operations import Operations, operations_for, TORCH
from streamvlm_ros.engine.ops.quantization import quantize_layers
from streamvlm_ros.engine.positions import Grid

Model = TypeVar('Model', bound='StreamingModel')


@dataclasses.dataclass(frozen=True)
class SpecialTokens:
    """The control tokens that a prompt is cut at, as the tokenizer spells them.

    Attributes:
        video: stands for one token of a temporal patch.
        vision_start: opens a vision segment.
        vision_end: closes it.
        turn_start: begins a turn of the chat.
        turn_end: ends one.

    """

    video: str
    vision_start: str
    vision_end: str
    turn_start: str
    turn_end: str


@dataclasses.dataclass(frozen=True)
class PatchText:
    """What is written before every temporal patch, e.g. its time in digits.

    A family that has it makes every temporal patch a vision segment of its own.

    Attributes:
        of: returns the text before a patch whose frames are so many nanoseconds after the
            stream's first frame.
        most_tokens: the largest number of tokens of such a text.

    """

    of: Callable[[Sequence[int]], str]
    most_tokens: int


@dataclasses.dataclass(frozen=True)
class ModelFamily:
    """A model family: what is known of it before one of its models is loaded.

    Attributes:
        model_type: as config.json has it.
        name: for people.
        tokens: its control tokens.
        pixels: its preprocessing, where a model's own files do not say.
        read_config: returns what the config.json of a folder or hub id says, checked.
        load: loads the model of a folder or hub id: ``load(path, **kwargs)``, where the arguments
            are those of transformers' ``from_pretrained``.
        build: builds the model that a folder's config.json describes, with random weights.
        patch_text: what is written before every temporal patch; None: the patches of a video
            follow each other in one vision segment.

    """

    model_type: str
    name: str
    tokens: SpecialTokens
    pixels: ImageProcessorConfig
    read_config: Callable[[str | os.PathLike[str]], dict[str, Any]]
    load: Callable[..., StreamingModel]
    build: Callable[[str | os.PathLike[str]], StreamingModel]
    patch_text: PatchText | None = None


class StreamingModel(LanguageModel):
    """A vision-language model as the engine runs it.

    The layers and the loop over them are ``LanguageModel``'s.  A family says what they are made
    of (``parts``, ``layers``, ``rotation``), how the model sees, and where tokens stand.

    Attributes:
        recordable: all that ``encode_video`` launches can be recorded as a CUDA graph: it depends
            on the grid only, and reads nothing back to the host. A model for which this does not
            hold is run directly, on a GPU too.
        weights_version: grows whenever parameters were moved, converted or quantized, so that
            what was made of the old ones is made again.

    """

    recordable: bool = False
    weights_version: int = 0

    @property
    @abc.abstractmethod
    def family(self) -> ModelFamily:
        """The family that it is of."""

    @property
    @abc.abstractmethod
    def generation(self) -> GenerationSettings:
        """How answers are drawn by the model's own settings, and which ids end them."""

    @property
    @abc.abstractmethod
    def trained_positions(self) -> int:
        """Positions that it was trained on: what a stream's positions must stay within."""

    @property
    @abc.abstractmethod
    def position_rule(self) -> PositionRule:
        """Says where tokens stand; made once."""

    @abc.abstractmethod
    def encode_video(
        self, patches: torch.Tensor, grid: Grid, operations: Operations | None = None
    ) -> torch.Tensor:
        """Encode temporal patches, each of which must come out as it would alone.

        Args:
            patches: as ``ImageProcessorConfig.patchify`` makes them, on any device.
            grid: the merged token grid.
            operations: what blocks are made of; None: what is fastest here.

        Returns:
            [t * h * w, parts.video_width]: for every video token its embedding and,
            after it in the same row, what is added after each of the first layers.

        """

    @abc.abstractmethod
    def description(self) -> dict[str, Any]:
        """Return what a saved stream depends on besides weights, prompt and preprocessing.

        These are the values that the model works with, of JSON's types, by names that begin with
        ``model.`` or ``vision.``; not the words of its configuration, which transformers releases
        spell differently.
        """

    @functools.cached_property
    def fits_kernels(self) -> bool:
        """Whether it can be run by recorded passes.

        It is then recordable, on one GPU, and its heads have a width that the kernels take.
        """
        half = self.parts.head_size // 2
        return (
            self.recordable
            and half >= 8
            and half & (half - 1) == 0
            and len({parameter.device for parameter in self.parameters()}) == 1
            and operations_for(self.token_table) is not TORCH
        )

    def quantize(self, bits: int, device: str | None = None) -> None:
        """Hold the decoder's matrices in 8 or 4 bits; see ``quantization.quantize_layers``."""
        self._drop_prepared()
        with torch.no_grad():
            quantize_layers(self.parts.layers, self.parts.projections, bits, device)

    def _apply(self: Model, *args: Any, **kwargs: Any) -> Model:
        """Move or convert the parameters."""
        self._drop_prepared()
        return super()._apply(*args, **kwargs)

    def _drop_prepared(self) -> None:
        """Drop what was made of the parameters, which are about to change."""
        for name in list(self.__dict__):
            if isinstance(getattr(type(self), name, None), functools.cached_property):
                del self.__dict__[name]
        self.weights_version += 1
