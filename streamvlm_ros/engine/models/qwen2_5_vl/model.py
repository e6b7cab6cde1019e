# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stock Qwen2.5-VL that keeps its own positions over a stream."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import functools
import os
from typing import Any

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.utils import ModelOutput

from streamvlm_ros.engine.kvcache.cache import KVContext, StreamCache
from streamvlm_ros.engine.kvcache.tail import Tail
from streamvlm_ros.engine.models.decoder import run_layers
from streamvlm_ros.engine.models.folder.checkpoint import check_checkpoint, check_loaded
from streamvlm_ros.engine.models.folder.config import load_config
from streamvlm_ros.engine.models.folder.files import expand
from streamvlm_ros.engine.models.folder.weight_files import check_weights, only_safetensors
from streamvlm_ros.engine.models.qwen2_5_vl.positions import TimePositionRule
from streamvlm_ros.engine.models.qwen2_5_vl.vision import encode_video
from streamvlm_ros.engine.models.qwen2_5_vl.weights import (
    layer_weights,
    PROJECTIONS,
    VisionWeights,
)
from streamvlm_ros.engine.models.weights import LayerWeights
from streamvlm_ros.engine.ops.operations import Operations, operations_for, TORCH
from streamvlm_ros.engine.ops.quantization import quantize_layers
from streamvlm_ros.engine.ops.rotary import MRope
from streamvlm_ros.engine.positions import Grid, NANOSECONDS, StreamState, VideoSpan

DEFAULT_CAPACITY = 16384
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


@dataclasses.dataclass
class StreamOutput(ModelOutput):
    """What ``forward`` returns.

    Attributes:
        logits: float32 [1, n, vocabulary].
        past_key_values: the cache with the new tokens in it; None without ``use_cache``.
        rope_deltas: int64 [1, 1], next position minus next index, of the state as it is now.

    """

    logits: torch.Tensor | None = None
    past_key_values: StreamCache | None = None
    rope_deltas: torch.Tensor | None = None


class StreamQwenModel(Qwen2_5_VLForConditionalGeneration):
    """Qwen2.5-VL with the stock weights, name by name, and a position state of its own.

    Attributes:
        stream_state: the stream's position state; read it, set it back, or reset it.
        weights_version: grows whenever parameters were moved, converted or quantized, so that
            what was made of the old ones is made again.

    """

    weights_version = 0

    def __init__(self, config: Qwen2_5_VLConfig) -> None:
        """Build the model with random weights; ``from_pretrained`` loads real ones."""
        super().__init__(config)
        text = config.text_config
        if any(kind != 'full_attention' for kind in getattr(text, 'layer_types', None) or ()):
            raise ValueError('Models with sliding-window layers are not supported.')
        self.stream_state = StreamState()
        self.position_rule = TimePositionRule(
            config.video_token_id, config.vision_config.tokens_per_second
        )

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
        check_weights(path, config)
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

    @functools.cached_property
    def rotation(self) -> MRope:
        """What queries and keys are rotated by."""
        # Made at the first prefill: before that the weights may not be loaded yet.
        return MRope(
            self.model.language_model.rotary_emb.inv_freq,
            self.config.text_config.rope_parameters['mrope_section'],
        )

    @functools.cached_property
    def layers(self) -> list[LayerWeights]:
        """The decoder's weights; the modules' parameters are views of them from now on."""
        return [layer_weights(layer) for layer in self.model.language_model.layers]

    @functools.cached_property
    def vision(self) -> VisionWeights:
        """The ViT's weights; the modules' parameters are views of them from now on."""
        return VisionWeights.owning(self.model.visual)

    @functools.cached_property
    def fits_kernels(self) -> bool:
        """Whether all of it is on one GPU, in a shape that the attention kernels take."""
        half = self.kv_shape[1] // 2
        return (
            half >= 8
            and half & (half - 1) == 0
            and len({parameter.device for parameter in self.parameters()}) == 1
            and operations_for(self.get_input_embeddings().weight) is not TORCH
        )

    def quantize(self, bits: int, device: str | None = None) -> None:
        """Hold the decoder's matrices in 8 or 4 bits; see ``quantization.quantize_layers``."""
        self._drop_prepared()
        with torch.no_grad():
            quantize_layers(self.model.language_model.layers, PROJECTIONS, bits, device)

    def _apply(self, *args: Any, **kwargs: Any) -> StreamQwenModel:
        """Move or convert the parameters."""
        self._drop_prepared()
        return super()._apply(*args, **kwargs)

    def _drop_prepared(self) -> None:
        """Drop what was made of the parameters, which are about to change."""
        for made in ('rotation', 'layers', 'vision', 'fits_kernels'):
            self.__dict__.pop(made, None)
        self.weights_version += 1

    @property
    def layer_devices(self) -> list[torch.device]:
        """Where each layer's keys and values are."""
        return [layer.self_attn.q_proj.weight.device for layer in self.model.language_model.layers]

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

    @property
    def trained_positions(self) -> int:
        """Positions that the model was trained on."""
        return min(TRAINED_POSITIONS, self.config.text_config.max_position_embeddings)

    @property
    def kv_heads(self) -> int:
        """Heads of keys and of values."""
        return self.config.text_config.num_key_value_heads

    @property
    def kv_shape(self) -> tuple[int, int]:
        """Heads of keys and values, and their width."""
        return self.kv_heads, self.model.language_model.layers[0].self_attn.head_dim

    def reset_stream_state(self) -> None:
        """Forget the stream: the next prefill is a first one."""
        self.stream_state = StreamState()

    def encode_video(
        self, patches: torch.Tensor, grid: Grid, operations: Operations | None = None
    ) -> torch.Tensor:
        """Encode temporal patches; see ``vision.encode_video``."""
        weight = self.vision.visual.patch_embed.proj.weight
        if operations is None:
            operations = operations_for(weight) if self.fits_kernels else TORCH
        # Triton launches on the current GPU, wherever the tensors are.
        with torch.cuda.device_of(weight):
            return encode_video(
                self.vision, patches.to(weight.device, weight.dtype), grid, operations
            )

    def embed(self, ids: Sequence[int], video: torch.Tensor | None = None) -> torch.Tensor:
        """Return [len(ids), hidden_size], video tokens replaced by ``video`` [v, hidden_size]."""
        table = self.get_input_embeddings()
        tokens = torch.tensor(list(ids), device=table.weight.device)
        hidden = table(tokens)
        if video is not None:
            hidden = hidden.clone()
            hidden[tokens == self.config.video_token_id] = video.to(hidden)
        return hidden

    def prefill(
        self, hidden: torch.Tensor, positions: torch.Tensor, context: KVContext
    ) -> torch.Tensor:
        """Run embeddings through the decoder, into a context.

        Args:
            hidden: [n, hidden_size].
            positions: int64 [3, n].
            context: where keys and values go, and what is seen: the stream's cache, a branch,
                or several branches with one token each.

        Returns:
            Normed hidden states [n, hidden_size].

        """
        context.reserve(len(hidden))
        hidden = run_layers(
            self.layers, hidden, self.rotation(positions), context, operations_for(hidden)
        )
        # Only when every layer has run, so that an exception leaves the context as it was.
        context.advance(len(hidden))
        norm = self.model.language_model.norm
        return norm(hidden.to(norm.weight.device))

    def final(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return float32 logits [n, vocabulary] of hidden states before the final norm."""
        norm = self.model.language_model.norm
        return (
            operations_for(hidden)
            .norm_linear(hidden, norm.weight, norm.variance_epsilon, self.lm_head.weight)
            .float()
        )

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return float32 logits [n, vocabulary] of normed hidden states."""
        return self.lm_head(hidden.to(self.lm_head.weight.device)).float()

    @torch.inference_mode()
    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        past_key_values: StreamCache | None = None,
        use_cache: bool = True,
        *,
        pixel_values_videos: torch.Tensor | None = None,
        video_grid_thw: torch.Tensor | None = None,
        second_per_grid_ts: Sequence[float] | torch.Tensor | None = None,
        patch_times_ns: Sequence[Sequence[int]] | None = None,
        logits_to_keep: int = 0,
    ) -> StreamOutput:
        """Prefill or decode behind what is cached; the positions follow from the state.

        Args:
            input_ids: [1, n].
            attention_mask: [1, n] or [1, cached + n], all ones: a stream has no padding.
            past_key_values: the cache of earlier calls; None starts a new stream.
            use_cache: False leaves the cache and the state as they were.
            pixel_values_videos: flattened patches of all grids.
            video_grid_thw: [videos, 3] in patches, as the stock processor gives it.
            second_per_grid_ts: seconds a temporal patch of each video lasts; default 1.
            patch_times_ns: instead, every temporal patch's time in nanoseconds.
            logits_to_keep: logits of the last so many tokens only; 0: of all.

        Raises:
            ValueError: more than one sequence, a mask with zeros, pads that do not match grids.
            TypeError: a cache of another kind.
            StreamError: OUT_OF_MEMORY when the cache is full.

        """
        if input_ids.ndim != 2 or input_ids.shape[0] != 1:
            raise ValueError(f'input_ids must be [1, n], not {list(input_ids.shape)}.')
        if attention_mask is not None and not attention_mask.bool().all():
            raise ValueError('attention_mask has zeros; a stream has no padding to mask.')
        if past_key_values is None:
            cache = self.new_cache(max(DEFAULT_CAPACITY, input_ids.shape[1]))
            self.reset_stream_state()
        elif isinstance(past_key_values, StreamCache):
            cache = past_key_values
        else:
            raise TypeError(
                'past_key_values must be a StreamCache (model.new_cache()), not '
                f'{type(past_key_values).__name__}.'
            )
        if cache.length != self.stream_state.length:
            raise ValueError(
                f'The cache has {cache.length} tokens but the stream state '
                f'{self.stream_state.length}; restore both together.'
            )
        ids = input_ids[0].tolist()
        grids = self._merged_grids(video_grid_thw)
        parts = self._parts(grids, second_per_grid_ts, patch_times_ns)
        positions, state = self.position_rule.place(self.stream_state, ids, parts)
        video = None
        if pixel_values_videos is not None:
            unit = self.config.vision_config.spatial_merge_size**2
            pieces = pixel_values_videos.split([grid.tokens * unit for grid in grids])
            video = torch.cat([self.encode_video(*pair) for pair in zip(pieces, grids)])
        before = set(cache.units)
        hidden = self.prefill(self.embed(ids, video), positions, cache)
        if use_cache:
            self.stream_state = state
        else:
            cache.drop(set(cache.units) - before)
        return StreamOutput(
            logits=self.logits(hidden[-logits_to_keep:])[None],
            past_key_values=cache if use_cache else None,
            rope_deltas=torch.tensor([[state.rope_deltas]], device=input_ids.device),
        )

    def _merged_grids(self, video_grid_thw: torch.Tensor | None) -> list[Grid]:
        if video_grid_thw is None:
            return []
        merge = self.config.vision_config.spatial_merge_size
        return [Grid(t, h // merge, w // merge) for t, h, w in video_grid_thw.tolist()]

    def _parts(
        self,
        grids: list[Grid],
        seconds: Sequence[float] | torch.Tensor | None,
        times_ns: Sequence[Sequence[int]] | None,
    ) -> list[VideoSpan]:
        if times_ns is not None:
            return [
                VideoSpan(grid, tuple(times)) for grid, times in zip(grids, times_ns, strict=True)
            ]
        lasts = [1.0] * len(grids) if seconds is None else [float(x) for x in seconds]
        segment = self.stream_state.segment
        parts = []
        for index, (grid, each) in enumerate(zip(grids, lasts, strict=True)):
            # The first grid may go on with the open segment; its time then goes on too.
            start = (
                segment.last_ns + round(each * NANOSECONDS)
                if segment is not None and index == 0
                else 0
            )
            parts.append(
                VideoSpan(
                    grid, tuple(start + round(i * each * NANOSECONDS) for i in range(grid.t))
                )
            )
        return parts
