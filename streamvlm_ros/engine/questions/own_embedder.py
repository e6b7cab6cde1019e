# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Vectors of moments and questions out of the model itself; docs/design/search.md has the maths.

A moment's vector is the mean of its video tokens' keys, a question's are the queries with which
its answer begins: their scalar product is how much attention the one would pay to the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import hashlib

import numpy as np
import torch

from streamvlm_ros.engine.config import StreamSettings
from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.kvcache.cache import StreamCache
from streamvlm_ros.engine.kvcache.entries import CacheEntry, EntryInfo, EntryKind
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.models.preprocessing import ImageProcessorConfig
from streamvlm_ros.engine.models.prompt import Place, Prompt
from streamvlm_ros.engine.ops.rotary import rotate, Rotation
from streamvlm_ros.engine.positions import StreamState
from streamvlm_ros.engine.stream.frames import check_image, Frame
from streamvlm_ros.engine.stream.saving.fingerprint import weights_hash
from streamvlm_ros.engine.stream.stream import FrameStream
from streamvlm_ros.stamps import NANOSECONDS

MOST_DIMENSIONS = 512
VERSION = 1  # of the maths


class OwnEmbedder:
    """Makes vectors with the model that answers; see ``search.embedders.Embedder``.

    Attributes:
        fingerprint: of the model and the maths.
        dimensions: numbers of a vector.

    """

    def __init__(
        self,
        model: StreamingModel,
        prompt: Prompt,
        pixels: ImageProcessorConfig,
        layers: Sequence[int] | None = None,
    ) -> None:
        """Take a model, its prompt, and its preprocessing with the stream's bounds.

        ``layers``: whose keys and queries are taken; None: as ``chosen`` says.
        """
        self._model, self._prompt, self._pixels = model, prompt, pixels
        parts = model.parts
        usual, self._heads = chosen(len(model.layers), parts.kv_heads, parts.head_size)
        self._layers = usual if layers is None else list(layers)
        self.dimensions = len(self._layers) * len(self._heads) * model.parts.head_size
        self._alone: FrameStream | None = None
        made_by = [
            VERSION,
            weights_hash(model),
            str(model.dtype),
            pixels,
            self._layers,
            self._heads,
            prompt.enter_user_turn(Place.NOTHING),
        ]
        self.fingerprint = 'own ' + hashlib.sha256(repr(made_by).encode()).hexdigest()[:16]

    @torch.inference_mode()
    def pictures(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """Return the vector of a moment, float32 [dimensions], from its pictures.

        Args:
            frames: RGB uint8 [h, w, 3], in the order of time, half a second apart or so.

        Raises:
            StreamError: INVALID_REQUEST; there is no frame, or one is no picture.

        """
        images = [check_image(frame) for frame in frames]
        if not images:
            raise StreamError(
                ErrorCode.INVALID_REQUEST, 'A moment has no frame; give at least one.'
            )
        if self._alone is None:
            patch = self._pixels.most_tokens + self._prompt.most_around_patch
            room = 2 * (len(self._prompt.open_segment(Place.NOTHING)) + patch)
            settings = StreamSettings(capacity=room, slack=2, open_views=0, view_ring_bytes=0)
            self._alone = FrameStream(self._model, self._prompt, self._pixels, settings)
        stream, temporal, vectors = self._alone, self._pixels.temporal_patch_size, []
        try:
            for start in range(0, len(images), temporal):
                stream.clear()
                for number, image in enumerate(images[start : start + temporal]):
                    stream.append(Frame(image, number * NANOSECONDS // 2))
                stream.flush(complete=True)
                vectors += [vector for _, vector in self.cached(stream.cache)]
        finally:
            stream.clear()
        mean: np.ndarray = np.stack(vectors).mean(axis=0)
        return mean

    @torch.inference_mode()
    def cached(self, cache: StreamCache, after: int = -1) -> list[tuple[EntryInfo, np.ndarray]]:
        """Return the vectors of temporal patches that a stream has in its cache.

        Nothing of the stream is changed. They depend a little on what was before them, which the
        keys of later layers have seen.

        Args:
            cache: the stream's.
            after: only of patches whose first frame has a larger number.

        Returns:
            For each patch what it is, and its vector, float32 [dimensions].

        """
        return [
            (entry.info, self._mean_key(cache, entry))
            for entry in cache.entries
            if entry.info.kind is EntryKind.PATCH and entry.info.frame > after
        ]

    @torch.inference_mode()
    def question(self, question: str) -> np.ndarray:
        """Return the vector of a question, float32 [dimensions].

        Raises:
            StreamError: INVALID_REQUEST; see ``Prompt.question``.

        """
        model = self._model
        ids = [*self._prompt.enter_user_turn(Place.NOTHING), *self._prompt.question(question)]
        positions, _ = model.position_rule.place(StreamState(), ids)
        context = _LastQueries(model.new_cache(len(ids)), self._layers)
        model.prefill(model.embed(ids), positions, context)
        parts = model.parts
        groups, rest = parts.kv_heads, self._at_rest()
        vector = []
        for layer in self._layers:
            heads = context.queries[layer][: parts.heads * parts.head_size]
            queries = heads.view(parts.heads, 1, parts.head_size)
            queries = rotate(queries, rest.cos.to(queries.device), rest.sin.to(queries.device))
            # The heads of a group see the same keys; the mean of their scores is that of the sum.
            grouped = queries.float().view(groups, -1, parts.head_size).mean(1)
            vector.append(grouped[self._heads].flatten().cpu())
        return torch.cat(vector).numpy()

    def _mean_key(self, cache: StreamCache, entry: CacheEntry) -> np.ndarray:
        """Return the mean key of an entry's tokens without rotation and bias.

        A token counts by how far its keys are from the plain mean: what stands out of a picture
        is what is asked for.
        """
        assert entry.positions is not None
        turned = self._model.rotation(entry.positions)
        every = [self._keys(cache, layer, entry.spans, turned) for layer in self._layers]
        keys = torch.cat(every, dim=1)  # [tokens, dimensions]
        weight = (keys - keys.mean(0)).norm(dim=1, keepdim=True)
        total = weight.sum()
        mean = (keys * weight).sum(0) / total if total > 0 else keys.mean(0)
        return mean.numpy()

    def _keys(
        self, cache: StreamCache, layer: int, spans: Iterable[tuple[int, int]], turned: Rotation
    ) -> torch.Tensor:
        """Return a layer's keys as they were before rotation and bias, float32 on the CPU."""
        parts, weights = self._model.parts, self._model.layers[layer]
        keys = torch.cat([cache.keys[layer][self._heads, a:b] for a, b in spans], dim=1)
        keys = keys.float().cpu()
        cos, sin = turned.cos.cpu(), turned.sin.cpu()
        keys = rotate(keys, cos, -sin)
        if weights.qkv_bias is not None:
            first = parts.heads * parts.head_size
            bias = weights.qkv_bias[first : first + parts.kv_heads * parts.head_size]
            bias = bias.float().cpu().view(parts.kv_heads, 1, -1)[self._heads]
            # Turned and back, as the keys: a rotation with a scale (YaRN) is no pure one.
            keys = keys - rotate(rotate(bias, cos, sin), cos, -sin)
        return keys.transpose(0, 1).flatten(1)

    def _at_rest(self) -> Rotation:
        """Return the rotation at position 0, which only scales."""
        return self._model.rotation(torch.zeros(3, 1, dtype=torch.long))


def chosen(layers: int, kv_heads: int, head_size: int) -> tuple[list[int], list[int]]:
    """Return which layers and heads of keys make a vector of at most ``MOST_DIMENSIONS``.

    Layers are spread evenly over the second half, where what a question asks for meets what is
    seen; a model with too many heads for one layer gives every second, third ... of them.
    """
    step = -(-kv_heads * head_size // MOST_DIMENSIONS)
    heads = list(range(0, kv_heads, step))
    count = max(1, min(MOST_DIMENSIONS // (len(heads) * head_size), layers - layers // 2))
    first, half = layers // 2, layers - layers // 2
    return [first + (2 * index + 1) * half // (2 * count) for index in range(count)], heads


class _LastQueries:
    """A KV context that notes the last token's queries, as they are before rotation."""

    def __init__(self, cache: StreamCache, layers: Sequence[int]) -> None:
        self._cache, self._layers = cache, frozenset(layers)
        self.queries: dict[int, torch.Tensor] = {}

    def reserve(self, tokens: int) -> None:
        """See ``KVContext``."""
        self._cache.reserve(tokens)

    def attend(self, layer: int, qkv: torch.Tensor, rotation: Rotation) -> torch.Tensor:
        """See ``KVContext``."""
        if layer in self._layers:
            self.queries[layer] = qkv[-1].clone()
        return self._cache.attend(layer, qkv, rotation)

    def table(self, tokens: int) -> None:
        """See ``KVContext``: only ``attend`` can."""

    def advance(self, tokens: int) -> None:
        """See ``KVContext``."""
        self._cache.advance(tokens)
