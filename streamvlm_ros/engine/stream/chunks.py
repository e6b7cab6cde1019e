# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames to chunks: token ids and embeddings that are ready to be prefilled."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses

import torch

from streamvlm_ros.engine.kvcache.eviction import EvictionPolicy
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.models.preprocessing import grid_of, ImageProcessorConfig, patchify
from streamvlm_ros.engine.models.prompt import Place, Prompt
from streamvlm_ros.engine.positions import VideoSpan
from streamvlm_ros.engine.runner.model_runner import ModelRunner
from streamvlm_ros.engine.stream.encoder_cache import EncoderCache
from streamvlm_ros.engine.stream.frames import Frame, pixel_values
from streamvlm_ros.engine.stream.layout import chunk_labels, Labels


@dataclasses.dataclass(frozen=True)
class EncodedChunk:
    """A chunk ready to be prefilled.

    Attributes:
        ids: token ids.
        video: embeddings of the video tokens among them [v, hidden_size].
        part: where these stand.
        place: what the last token belongs to.
        labels: how many tokens are what, in their order.
        segment: number of the vision segment that they belong to.

    """

    ids: list[int]
    video: torch.Tensor
    part: VideoSpan
    place: Place
    labels: Labels
    segment: int


class ChunkEncoder:
    """Encodes frames for where the stream stands; changes nothing."""

    def __init__(
        self,
        model: StreamingModel,
        prompt: Prompt,
        pixels: ImageProcessorConfig,
        memory: EvictionPolicy,
        append: bool,
    ) -> None:
        """Encode with a model; ``append``: every chunk is a vision segment of its own."""
        self._runner = ModelRunner.of(model)
        self._prompt = prompt
        self._pixels = pixels
        self._memory = memory
        self._append = append
        self._device = model.device

    def encode(
        self,
        frames: Sequence[Frame],
        place: Place,
        size: tuple[int, int] | None,
        ahead: EncoderCache | None = None,
    ) -> EncodedChunk:
        """Run an even number of frames of one size through the ViT.

        Args:
            frames: the frames.
            place: what the last cached token belongs to.
            size: height and width of the frames that are newest in the cache.
            ahead: where they may have been encoded before.

        """
        grid = grid_of(frames[0].size, len(frames), self._pixels)
        before, after, following = self._around(frames[0].size, place, size)
        ids = [*before, *[self._prompt.pad] * grid.tokens, *after]
        labels = chunk_labels(self._memory, self._prompt, place, before, frames, grid, after)
        video = ahead.take(frames) if ahead else None
        if video is None:
            video = self._runner.encode(
                *patchify(pixel_values(frames, self._pixels, self._device), self._pixels)
            )
        return EncodedChunk(
            ids,
            video,
            VideoSpan(grid, self.times(frames)),
            following,
            labels,
            self._memory.segment + bool(before),
        )

    def times(self, frames: Sequence[Frame]) -> tuple[int, ...]:
        """Return the time of every temporal patch."""
        return tuple(frame.time_ns for frame in frames[:: self._pixels.temporal_patch_size])

    def opens_segment(
        self, frame_size: tuple[int, int], place: Place, size: tuple[int, int] | None
    ) -> bool:
        """Tell whether frames of this height and width begin a vision segment; see ``encode``."""
        return bool(self._around(frame_size, place, size)[0])

    def tokens(
        self, frame_size: tuple[int, int], frames: int, place: Place, size: tuple[int, int] | None
    ) -> int:
        """Return how many tokens so many frames of a height and width take; see ``encode``."""
        before, after, _ = self._around(frame_size, place, size)
        return len(before) + len(after) + grid_of(frame_size, frames, self._pixels).tokens

    def _around(
        self,
        frame_size: tuple[int, int],
        place: Place,
        size: tuple[int, int] | None,
    ) -> tuple[list[int], list[int], Place]:
        """Return the ids before and after a chunk's video tokens, and the place then."""
        if self._append:
            return (
                self._prompt.open_segment(place),
                self._prompt.close_segment(),
                Place.USER_TURN,
            )
        if place is Place.VIDEO and frame_size == size:
            return [], [], Place.VIDEO
        return self._prompt.open_segment(place), [], Place.VIDEO
