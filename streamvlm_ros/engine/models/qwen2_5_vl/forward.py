# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The stock model's ``forward``, over a stream: one cache, positions from the state."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import math
from typing import Any

import torch

from streamvlm_ros.engine.config import DEFAULT_CAPACITY
from streamvlm_ros.engine.kvcache.cache import StreamCache
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.positions import Grid, StreamState, VideoSpan
from streamvlm_ros.stamps import NANOSECONDS


@dataclasses.dataclass
class StreamOutput:
    """What ``forward`` returns; ``output[0]`` and ``output['logits']`` are ``output.logits``.

    Attributes:
        logits: float32 [1, n, vocabulary].
        past_key_values: the cache with the new tokens in it; None without ``use_cache``.
        rope_deltas: int64 [1, 1], next position minus next index, of the state as it is now.

    """

    logits: torch.Tensor
    past_key_values: StreamCache | None
    rope_deltas: torch.Tensor

    def __getitem__(self, key: int | str) -> Any:
        """Return a value by its name, or by its number among those that are not None."""
        named = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if isinstance(key, str):
            return named[key]
        return [value for value in named.values() if value is not None][key]


class StockForward(StreamingModel):
    """Calls like those of the stock class.

    Attributes:
        config: the model's, as transformers has it.
        stream_state: the stream's position state; read it, set it back, or reset it.

    """

    config: Any
    stream_state: StreamState

    def reset_stream_state(self) -> None:
        """Forget the stream: the next prefill is a first one."""
        self.stream_state = StreamState()

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
        """Prefill or decode after what is cached; the positions follow from the state.

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
            pieces = pixel_values_videos.split([math.prod(grid) * unit for grid in grids])
            video = torch.cat([self.encode_video(*pair) for pair in zip(pieces, grids)])
        before = set(cache.entries)
        hidden = self.prefill(self.embed(ids, video), positions, cache)
        if use_cache:
            self.stream_state = state
        else:
            cache.drop(set(cache.entries) - before)
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
