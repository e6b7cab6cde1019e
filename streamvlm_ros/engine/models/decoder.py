# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The language model of every family: pre-norm layers, run over a KV context."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any, Protocol

import torch
from torch.nn import functional

from streamvlm_ros.engine.config import DEFAULT_CAPACITY
from streamvlm_ros.engine.kvcache.cache import KVContext, StreamCache
from streamvlm_ros.engine.kvcache.tail import Tail
from streamvlm_ros.engine.kvcache.view_room import ViewRoom
from streamvlm_ros.engine.models.weights import LayerWeights
from streamvlm_ros.engine.ops.operations import Operations, operations_for, rms_norm
from streamvlm_ros.engine.ops.rotary import MRope, Rotation


class Attends(Protocol):
    """What layers need of a KV context."""

    def attend(self, layer: int, qkv: torch.Tensor, rotation: Rotation) -> torch.Tensor:
        """Rotate and store a layer's new keys and values, and attend.

        Args:
            layer: its index.
            qkv: [n, (heads + 2 kv_heads) head_size]: queries, keys, values, not rotated.
            rotation: of the n tokens.

        Returns:
            [n, heads * head_size].

        """


@dataclasses.dataclass(frozen=True)
class DecoderParts:
    """The modules and numbers that a family's language model is made of.

    They are modules rather than tensors because loading, moving and quantizing a model replaces
    tensors and keeps modules.

    Attributes:
        embedding: its weight [vocabulary, hidden_size] embeds tokens.
        layers: the modules of the decoder layers.
        norm: its weight [hidden_size] belongs to the RMSNorm after the last layer.
        epsilon: of that norm.
        head: its weight [vocabulary, hidden_size] leads from normed hidden states to logits.
        heads: of queries.
        kv_heads: of keys and of values.
        head_size: width of a head.
        video_token_id: id of ``SpecialTokens.video``.
        projections: the matrices of a layer that may be held in few bits: for each part of the
            layer's module, their names.
        side_outputs: how many decoder layers, from the first on, are given features of the
            vision encoder besides (DeepStack, arXiv 2406.04334).

    """

    embedding: Any
    layers: Sequence[torch.nn.Module]
    norm: Any
    epsilon: float
    head: Any
    heads: int
    kv_heads: int
    head_size: int
    video_token_id: int
    projections: Mapping[str, Sequence[str]]
    side_outputs: int = 0

    @property
    def hidden_size(self) -> int:
        """Width of hidden states."""
        return int(self.embedding.weight.shape[1])

    @property
    def video_width(self) -> int:
        """Width of what ``StreamingModel.encode_video`` returns."""
        return (1 + self.side_outputs) * self.hidden_size


class LanguageModel(torch.nn.Module, abc.ABC):
    """Grouped-query attention and a gated MLP in every layer, whatever the family.

    Attributes:
        parts: what it is made of; the family sets it when the model is built.

    """

    parts: DecoderParts

    @property
    @abc.abstractmethod
    def rotation(self) -> MRope:
        """What queries and keys are rotated by; made once."""

    @property
    @abc.abstractmethod
    def layers(self) -> Sequence[LayerWeights]:
        """The decoder layers' weights; made once."""

    @property
    def token_table(self) -> torch.Tensor:
        """Embeddings of all tokens, [vocabulary, hidden_size]."""
        table: torch.Tensor = self.parts.embedding.weight
        return table

    @property
    def device(self) -> torch.device:
        """Where the token embeddings are."""
        return self.token_table.device

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the token embeddings."""
        return self.token_table.dtype

    @property
    def layer_devices(self) -> list[torch.device]:
        """Where each layer's keys and values are."""
        return [next(layer.parameters()).device for layer in self.parts.layers]

    @property
    def layer_bytes(self) -> int:
        """Bytes of one token's keys and values in one layer."""
        return 2 * self.parts.kv_heads * self.parts.head_size * self.dtype.itemsize

    def new_cache(self, capacity: int = DEFAULT_CAPACITY) -> StreamCache:
        """Allocate a cache for ``capacity`` tokens on the layers' devices."""
        parts = self.parts
        return StreamCache(
            parts.kv_heads, parts.head_size, capacity, self.dtype, self.layer_devices
        )

    def new_view_room(self, places: int, tokens: int) -> ViewRoom:
        """Allocate places for views of ``tokens`` tokens each, on the layers' devices."""
        parts = self.parts
        return ViewRoom(
            parts.kv_heads, parts.head_size, places, tokens, self.dtype, self.layer_devices
        )

    def new_tail(self) -> Tail:
        """Return an empty tail for a branch, on the layers' devices."""
        parts = self.parts
        # Every question comes here: going through the modules' parameters would cost it 0.1 ms.
        devices = [layer.norm.device for layer in self.layers]
        return Tail(parts.kv_heads, parts.head_size, self.dtype, devices)

    def embed(self, ids: Sequence[int], video: torch.Tensor | None = None) -> torch.Tensor:
        """Return what ``prefill`` takes.

        Args:
            ids: of the tokens.
            video: of the video tokens among them, as ``StreamingModel.encode_video`` returns it.

        Returns:
            [len(ids), hidden_size]; with ``video`` as wide as that.

        """
        parts, table = self.parts, self.token_table
        tokens = torch.tensor(list(ids), device=table.device)
        hidden = functional.embedding(tokens, table)
        if video is not None:
            hidden = functional.pad(hidden, (0, parts.video_width - parts.hidden_size))
            hidden[tokens == parts.video_token_id] = video.to(hidden)
        return hidden

    def prefill(
        self, hidden: torch.Tensor, positions: torch.Tensor, context: KVContext
    ) -> torch.Tensor:
        """Run embeddings through the layers, into a context.

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
        norm = self.parts.norm.weight
        return rms_norm(hidden.to(norm.device), norm, self.parts.epsilon)

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
        hidden, *side_outputs = hidden.split(self.parts.hidden_size, dim=1)
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
        parts = self.parts
        logits = operations_for(hidden).norm_linear(
            hidden, parts.norm.weight, parts.epsilon, parts.head.weight
        )
        return logits.float()

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return float32 logits [n, vocabulary] of normed hidden states."""
        matrix = self.parts.head.weight
        return functional.linear(hidden.to(matrix.device), matrix).float()


def run_layers(
    weights: Sequence[LayerWeights],
    hidden: torch.Tensor,
    rotation: Rotation,
    context: Attends,
    operations: Operations,
    side_outputs: Sequence[torch.Tensor] = (),
) -> torch.Tensor:
    """Run all decoder layers on new tokens.

    Args:
        weights: of the layers, on any devices.
        hidden: embeddings [n, hidden_size], which may be overwritten.
        rotation: of the new tokens.
        context: takes the new keys and values.
        operations: what the layers are made of.
        side_outputs: what is added to the hidden states after each of the first layers,
            [n, hidden_size] each.

    Returns:
        [n, hidden_size], before the final norm.

    """
    for index, layer in enumerate(weights):
        device = layer.norm.device
        # Only does anything where a model is spread over several devices.
        hidden, rotation = hidden.to(device), rotation.to(device)
        # Triton launches on the current GPU, wherever the tensors are.
        with torch.cuda.device_of(layer.norm):
            qkv = operations.norm_linear(
                hidden, layer.norm, layer.epsilon, layer.qkv, layer.qkv_bias
            )
            if layer.query_norm is not None and layer.key_norm is not None:
                heads = layer.out.shape[1] // len(layer.query_norm)
                qkv = operations.norm_heads(
                    qkv, heads, layer.query_norm, layer.key_norm, layer.epsilon
                )
            attended = context.attend(index, qkv, rotation)
            hidden = operations.add_linear(hidden, attended, layer.out)
            gated = operations.norm_gated(hidden, layer.mlp_norm, layer.epsilon, layer.gate_up)
            hidden = operations.add_linear(hidden, gated, layer.down)
            if index < len(side_outputs):
                hidden = hidden + side_outputs[index].to(device)
    return hidden
