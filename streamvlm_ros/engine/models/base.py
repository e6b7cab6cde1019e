# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a model family is.

To add one: a folder beside ``qwen2_5_vl`` with a subclass of ``StreamingModel`` and a
``ModelFamily``, and a row in ``registry``.  Nothing else in the engine knows a family.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
import dataclasses
import functools
import os
from typing import Any, TypeVar

import torch
from torch.nn import functional

from streamvlm_ros.engine.kvcache.cache import KVContext, StreamCache
from streamvlm_ros.engine.kvcache.tail import Tail
from streamvlm_ros.engine.models.decoder import Attends, run_layers
from streamvlm_ros.engine.models.position_rule import PositionRule
from streamvlm_ros.engine.models.preprocessing import ImageProcessorConfig
from streamvlm_ros.engine.models.weights import LayerWeights
from streamvlm_ros.engine.ops.operations import Operations, operations_for, rms_norm, TORCH
from streamvlm_ros.engine.ops.quantization import quantize_layers
from streamvlm_ros.engine.ops.rotary import MRope
from streamvlm_ros.engine.positions import Grid

DEFAULT_CAPACITY = 16384

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

    """

    model_type: str
    name: str
    tokens: SpecialTokens
    pixels: ImageProcessorConfig
    read_config: Callable[[str | os.PathLike[str]], dict[str, Any]]
    load: Callable[..., StreamingModel]


class StreamingModel(torch.nn.Module, abc.ABC):
    """A vision-language model as the engine runs it.

    The decoder is made of pre-norm layers with grouped-query attention and a gated MLP
    (``decoder.run_layers``).  A family says where its weights are, how it sees, and where tokens
    stand.

    Attributes:
        device, dtype: of the token table.
        side_outputs: how many decoder layers, from the first on, are given features of the
            vision encoder besides (DeepStack, arXiv 2406.04334).
        weights_version: grows whenever parameters were moved, converted or quantized, so that
            what was made of the old ones is made again.

    """

    device: torch.device
    dtype: torch.dtype
    side_outputs: int = 0
    weights_version: int = 0

    @property
    @abc.abstractmethod
    def family(self) -> ModelFamily:
        """The family that it is of."""

    @property
    @abc.abstractmethod
    def stop_tokens(self) -> Sequence[int]:
        """Ids that end an answer, besides the end of a turn."""

    @property
    @abc.abstractmethod
    def video_token_id(self) -> int:
        """Id of ``SpecialTokens.video``."""

    @property
    @abc.abstractmethod
    def trained_positions(self) -> int:
        """Positions that it was trained on: what a stream's positions must stay within."""

    @property
    @abc.abstractmethod
    def position_rule(self) -> PositionRule:
        """Says where tokens stand."""

    @property
    @abc.abstractmethod
    def rotation(self) -> MRope:
        """What queries and keys are rotated by; made once."""

    @property
    @abc.abstractmethod
    def layers(self) -> Sequence[LayerWeights]:
        """The decoder layers' weights; made once."""

    @property
    @abc.abstractmethod
    def layer_modules(self) -> Sequence[torch.nn.Module]:
        """The decoder layers' modules, which ``projections`` names matrices of."""

    @property
    @abc.abstractmethod
    def projections(self) -> Mapping[str, Sequence[str]]:
        """The matrices that may be held in few bits: for each part of a layer, their names."""

    @property
    @abc.abstractmethod
    def kv_shape(self) -> tuple[int, int]:
        """Heads of keys and values, and their width."""

    @property
    @abc.abstractmethod
    def heads(self) -> int:
        """Heads of queries."""

    @property
    @abc.abstractmethod
    def token_table(self) -> torch.Tensor:
        """Embeddings of all tokens, [vocabulary, hidden_size]."""

    @property
    @abc.abstractmethod
    def final_norm(self) -> tuple[torch.Tensor, float]:
        """Weight [hidden_size] and epsilon of the norm after the last layer."""

    @property
    @abc.abstractmethod
    def vocabulary(self) -> torch.Tensor:
        """The matrix from normed hidden states to logits, [vocabulary, hidden_size]."""

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
            [t * h * w, (1 + side_outputs) hidden_size]: for every video token its embedding and,
            after it in the same row, what is added after each of the first layers.

        """

    @abc.abstractmethod
    def description(self) -> dict[str, Any]:
        """Return what a saved stream depends on besides weights, prompt and preprocessing.

        These are the values that the model works with, of JSON's types, by names that begin with
        ``model.`` or ``vision.``; not the words of its configuration, which transformers releases
        spell differently.
        """

    @property
    def hidden_size(self) -> int:
        """Width of hidden states."""
        return self.token_table.shape[1]

    @property
    def video_width(self) -> int:
        """Width of what ``encode_video`` returns."""
        return (1 + self.side_outputs) * self.hidden_size

    @property
    def kv_heads(self) -> int:
        """Heads of keys and of values."""
        return self.kv_shape[0]

    @property
    def layer_devices(self) -> list[torch.device]:
        """Where each layer's keys and values are."""
        return [next(layer.parameters()).device for layer in self.layer_modules]

    @property
    def layer_bytes(self) -> int:
        """Bytes of one token's keys and values in one layer."""
        heads, width = self.kv_shape
        return 2 * heads * width * self.dtype.itemsize

    def new_cache(self, capacity: int = DEFAULT_CAPACITY) -> StreamCache:
        """Allocate a cache for ``capacity`` tokens on the layers' devices."""
        heads, width = self.kv_shape
        return StreamCache(heads, width, capacity, self.dtype, self.layer_devices)

    def new_tail(self) -> Tail:
        """Return an empty tail for a branch, on the layers' devices."""
        return Tail(*self.kv_shape, self.dtype, self.layer_devices)

    @functools.cached_property
    def fits_kernels(self) -> bool:
        """Whether all of it is on one GPU, in a shape that the attention kernels take."""
        half = self.kv_shape[1] // 2
        return (
            half >= 8
            and half & (half - 1) == 0
            and len({parameter.device for parameter in self.parameters()}) == 1
            and operations_for(self.token_table) is not TORCH
        )

    def embed(self, ids: Sequence[int], video: torch.Tensor | None = None) -> torch.Tensor:
        """Return what ``prefill`` takes.

        Args:
            ids: of the tokens.
            video: of the video tokens among them, as ``encode_video`` returns it.

        Returns:
            [len(ids), hidden_size]; with ``video`` as wide as that.

        """
        tokens = torch.tensor(list(ids), device=self.token_table.device)
        hidden = functional.embedding(tokens, self.token_table)
        if video is not None:
            hidden = functional.pad(hidden, (0, self.video_width - self.hidden_size))
            hidden[tokens == self.video_token_id] = video.to(hidden)
        return hidden

    def prefill(
        self, hidden: torch.Tensor, positions: torch.Tensor, context: KVContext
    ) -> torch.Tensor:
        """Run embeddings through the decoder, into a context.

        Args:
            hidden: as ``embed`` returns it.
            positions: int64 [3, n].
            context: where keys and values go, and what is seen: the stream's cache, a branch,
                or several branches with one token each.

        Returns:
            Normed hidden states [n, hidden_size].

        """
        context.reserve(len(hidden))
        hidden = self.run_decoder(hidden, positions, context, operations_for(hidden))
        # Only when every layer has run, so that an exception leaves the context as it was.
        context.advance(len(hidden))
        norm, epsilon = self.final_norm
        return rms_norm(hidden.to(norm.device), norm, epsilon)

    def run_decoder(
        self,
        hidden: torch.Tensor,
        positions: torch.Tensor,
        context: Attends,
        operations: Operations,
    ) -> torch.Tensor:
        """Run embeddings through the layers; see ``prefill`` and ``run_layers``.

        Returns:
            Hidden states [n, hidden_size] before the final norm.

        """
        hidden, *side_outputs = hidden.split(self.hidden_size, dim=1)
        return run_layers(
            self.layers,
            hidden.contiguous(),
            self.rotation(positions),
            context,
            operations,
            side_outputs,
        )

    def final(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return float32 logits [n, vocabulary] of hidden states before the final norm."""
        norm, epsilon = self.final_norm
        return operations_for(hidden).norm_linear(hidden, norm, epsilon, self.vocabulary).float()

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return float32 logits [n, vocabulary] of normed hidden states."""
        return functional.linear(hidden.to(self.vocabulary.device), self.vocabulary).float()

    def quantize(self, bits: int, device: str | None = None) -> None:
        """Hold the decoder's matrices in 8 or 4 bits; see ``quantization.quantize_layers``."""
        self._drop_prepared()
        with torch.no_grad():
            quantize_layers(self.layer_modules, self.projections, bits, device)

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
