# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames to chunks: token ids and embeddings that are ready to be prefilled."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses

import torch

from streamvlm_ros.engine.ahead import Ahead
from streamvlm_ros.engine.frames import cut_patches, Frame, grey_levels, grid_of, PixelSettings
from streamvlm_ros.engine.layout import chunk_labels, Labels
from streamvlm_ros.engine.memory import StreamMemory
from streamvlm_ros.engine.model import StreamQwenModel
from streamvlm_ros.engine.positions import VideoPart
from streamvlm_ros.engine.prompt import Place, Prompt


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
    part: VideoPart
    place: Place
    labels: Labels
    segment: int


class ChunkEncoder:
    """Encodes frames for where the stream stands; changes nothing."""

    def __init__(self, model: StreamQwenModel, prompt: Prompt, pixels: PixelSettings,
                 memory: StreamMemory, ahead: Ahead, append: bool) -> None:
        """Encode with a model; ``append``: every chunk is a vision segment of its own."""
        self._model = model
        self._prompt = prompt
        self._pixels = pixels
        self._memory = memory
        self._ahead = ahead
        self._append = append
        self._device = model.device

    def encode(self, frames: Sequence[Frame], place: Place,
               size: tuple[int, int] | None) -> EncodedChunk:
        """Run an even number of frames of one size through the ViT, if they were not before.

        Args:
            frames: the frames.
            place: what the last cached token belongs to.
            size: height and width of the frames that are newest in the cache.

        """
        grid = grid_of(frames[0].size, len(frames), self._pixels)
        times = tuple(frame.time_ns for frame in frames[::self._pixels.temporal_patch_size])
        before, behind, following = self._around(frames[0], place, size)
        ids = [*before, *[self._prompt.pad] * grid.tokens, *behind]
        labels = chunk_labels(self._memory, self._prompt, place, before, frames, grid, behind)
        video = self._ahead.take(frames)
        if video is None:
            video = self._model.encode_video(*cut_patches(
                grey_levels(frames, self._pixels, self._device), self._pixels))
        return EncodedChunk(ids, video, VideoPart(grid, times), following, labels,
                            self._memory.segment + bool(before))

    def tokens(self, frame: Frame, frames: int, place: Place,
               size: tuple[int, int] | None) -> int:
        """Return how many tokens so many frames like this one take; see ``encode``."""
        before, behind, _ = self._around(frame, place, size)
        return len(before) + len(behind) + grid_of(frame.size, frames, self._pixels).tokens

    def _around(self, frame: Frame, place: Place,
                size: tuple[int, int] | None) -> tuple[list[int], list[int], Place]:
        """Return the ids before and behind a chunk's video tokens, and the place then."""
        if self._append:
            return (self._prompt.open_segment(place), self._prompt.close_segment(),
                    Place.USER_TURN)
        if place is Place.VIDEO and frame.size == size:
            return [], [], Place.VIDEO
        return self._prompt.open_segment(place), [], Place.VIDEO
