# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames to chunks: token ids, embeddings and labels that are ready to be prefilled."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import math

import torch

from streamvlm_ros.engine.kvcache.entries import EntryInfo, EntryKind
from streamvlm_ros.engine.kvcache.eviction import EvictionPolicy
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.models.preprocessing import grid_of, ImageProcessorConfig, patchify
from streamvlm_ros.engine.models.prompt import Place, Prompt
from streamvlm_ros.engine.positions import Grid, VideoSpan
from streamvlm_ros.engine.runner.model_runner import ModelRunner
from streamvlm_ros.engine.stream.frames import Frame, pixel_values

Labels = list[tuple[int, EntryInfo]]


@dataclasses.dataclass(frozen=True)
class ChunkLayout:
    """The tokens of a chunk, before it is encoded.

    Attributes:
        before: ids before the video tokens; none where the open vision segment goes on.
        grid: merged token grid of the video tokens.
        after: ids after them.
        place: what the last token belongs to.

    """

    before: list[int]
    grid: Grid
    after: list[int]
    place: Place

    @property
    def tokens(self) -> int:
        """All of them."""
        return len(self.before) + math.prod(self.grid) + len(self.after)


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

    def layout(
        self, size: tuple[int, int], frames: int, place: Place, cached: tuple[int, int] | None
    ) -> ChunkLayout:
        """Return the tokens that a chunk takes.

        Args:
            size: height and width of its frames.
            frames: their number.
            place: what the last cached token belongs to.
            cached: height and width of the frames that are newest in the cache.

        """
        grid = grid_of(size, frames, self._pixels)
        if self._append:
            before, after = self._prompt.open_segment(place), self._prompt.close_segment()
            return ChunkLayout(before, grid, after, Place.USER_TURN)
        if place is Place.VIDEO and size == cached:
            return ChunkLayout([], grid, [], Place.VIDEO)
        return ChunkLayout(self._prompt.open_segment(place), grid, [], Place.VIDEO)

    def encode(
        self,
        frames: Sequence[Frame],
        layout: ChunkLayout,
        place: Place,
        video: torch.Tensor | None = None,
    ) -> EncodedChunk:
        """Run an even number of frames of one size through the ViT.

        Args:
            frames: the frames.
            layout: of their chunk.
            place: what the last cached token belongs to.
            video: their embeddings, where they were encoded before.

        """
        grid = layout.grid
        if video is None:
            levels = pixel_values(frames, self._pixels, self._device)
            video = self._runner.encode(*patchify(levels, self._pixels))
        return EncodedChunk(
            [*layout.before, *[self._prompt.pad] * math.prod(grid), *layout.after],
            video,
            VideoSpan(grid, self.times(frames)),
            layout.place,
            chunk_labels(
                self._memory, self._prompt, place, layout.before, frames, grid, layout.after
            ),
            self._memory.segment + bool(layout.before),
        )

    def times(self, frames: Sequence[Frame]) -> tuple[int, ...]:
        """Return the time of every temporal patch."""
        return tuple(frame.time_ns for frame in frames[:: self._pixels.temporal_patch_size])


def chunk_labels(
    memory: EvictionPolicy,
    prompt: Prompt,
    place: Place,
    before: Sequence[int],
    frames: Sequence[Frame],
    grid: Grid,
    after: Sequence[int],
) -> Labels:
    """Return how many tokens of a chunk are what.

    Args:
        memory: knows the numbers of segments and turns.
        prompt: knows what leads into a user turn.
        place: what the last cached token belongs to.
        before: the ids before the video tokens; none where the open segment goes on.
        frames: the chunk's frames, in whole temporal patches.
        grid: its merged token grid.
        after: the ids after the video tokens.

    """
    segment = memory.segment + bool(before)
    labels: Labels = []
    if place is Place.NOTHING:
        labels.append((len(before), EntryInfo(EntryKind.PREFIX)))
    elif before:
        labels += lead_in(memory, prompt, place, memory.segment)
        mark = len(before) - sum(size for size, _ in labels)
        labels.append((mark, EntryInfo(EntryKind.MARK, segment)))
    for frame in frames[:: len(frames) // grid.t]:
        labels.append(
            (
                grid.h * grid.w,
                EntryInfo(EntryKind.PATCH, segment, frame.time_ns, frame.stamp_ns, frame.number),
            )
        )
    if after:
        labels.append((len(after), EntryInfo(EntryKind.MARK, segment)))
    return labels


def lead_in(memory: EvictionPolicy, prompt: Prompt, place: Place, segment: int) -> Labels:
    """Return what leads from a place into a user turn; it goes with what it ends."""
    tokens = len(prompt.enter_user_turn(place))
    label = (
        EntryInfo(EntryKind.MARK, segment)
        if place is Place.VIDEO
        else EntryInfo(EntryKind.TURN, memory.turn)
    )
    return [(tokens, label)] if tokens else []
