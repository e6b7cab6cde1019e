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
class PartLayout:
    """The tokens of one part of a chunk: temporal patches of one vision segment.

    Attributes:
        before: ids before the video tokens; none if the open vision segment goes on.
        grid: merged token grid of the video tokens.
        after: ids after them.

    """

    before: list[int]
    grid: Grid
    after: list[int]

    @property
    def tokens(self) -> int:
        """Number of all these tokens."""
        return len(self.before) + math.prod(self.grid) + len(self.after)


@dataclasses.dataclass(frozen=True)
class ChunkLayout:
    """The tokens of a chunk, before it is encoded.

    Attributes:
        parts: its parts, at least one; only the first can go on with an open vision segment.
        place: what the last token belongs to.

    """

    parts: Sequence[PartLayout]
    place: Place

    @property
    def tokens(self) -> int:
        """Number of all tokens."""
        return sum(part.tokens for part in self.parts)

    @property
    def goes_on(self) -> bool:
        """Whether the open vision segment goes on with its first patch."""
        return not self.parts[0].before


@dataclasses.dataclass(frozen=True)
class EncodedChunk:
    """A chunk ready to be prefilled.

    Attributes:
        ids: token ids.
        video: embeddings of the video tokens among them [v, hidden_size].
        parts: which temporal patches they are, one for each of its parts.
        place: what the last token belongs to.
        labels: how many tokens are what, in their order.
        segment: number of the vision segment that the last of them belong to.

    """

    ids: list[int]
    video: torch.Tensor
    parts: Sequence[VideoSpan]
    place: Place
    labels: Labels
    segment: int

    @property
    def times_ns(self) -> tuple[int, ...]:
        """The time of every temporal patch."""
        return tuple(time_ns for part in self.parts for time_ns in part.times_ns)


class ChunkEncoder:
    """Encodes frames for the place where the stream ends; changes nothing."""

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
        self, frames: Sequence[Frame], place: Place, cached: tuple[int, int] | None
    ) -> ChunkLayout:
        """Return the tokens that a chunk takes.

        Args:
            frames: its frames, of one size.
            place: what the last cached token belongs to.
            cached: height and width of the frames that are newest in the cache.

        """
        size = frames[0].size
        grid = grid_of(size, len(frames), self._pixels)
        if not self._prompt.each_patch_opens:
            return self._one_part(size, grid, place, cached)
        times = [frame.time_ns for frame in frames]
        entries = self._memory.cache.entries
        began = entries[0].info.time_ns if entries else times[0]
        patch, after = Grid(1, grid.h, grid.w), self._prompt.close_segment()
        parts, temporal = [], self._pixels.temporal_patch_size
        for start in range(0, len(frames), temporal):
            elapsed = [time_ns - began for time_ns in times[start : start + temporal]]
            before = self._prompt.open_segment(place, elapsed)
            parts.append(PartLayout(before, patch, after))
            place = Place.USER_TURN
        return ChunkLayout(parts, place)

    def most_tokens(
        self, size: tuple[int, int], frames: int, place: Place, cached: tuple[int, int] | None
    ) -> int:
        """Return how many tokens a chunk takes at most, whatever the times of its frames are.

        Args:
            size: height and width of its frames.
            frames: their number.
            place: what the last cached token belongs to.
            cached: height and width of the frames that are newest in the cache.

        """
        grid = grid_of(size, frames, self._pixels)
        if not self._prompt.each_patch_opens:
            return self._one_part(size, grid, place, cached).tokens
        lead = len(self._prompt.enter_user_turn(place))
        return lead + math.prod(grid) + grid.t * self._prompt.most_around_patch

    def _one_part(
        self, size: tuple[int, int], grid: Grid, place: Place, cached: tuple[int, int] | None
    ) -> ChunkLayout:
        """Return the layout of patches that share a vision segment; see ``most_tokens``."""
        if self._append:
            before, after = self._prompt.open_segment(place), self._prompt.close_segment()
            return ChunkLayout([PartLayout(before, grid, after)], Place.USER_TURN)
        goes_on = place is Place.VIDEO and size == cached
        before = [] if goes_on else self._prompt.open_segment(place)
        return ChunkLayout([PartLayout(before, grid, [])], Place.VIDEO)

    def encode(
        self,
        frames: Sequence[Frame],
        layout: ChunkLayout,
        place: Place,
        video: torch.Tensor | None = None,
    ) -> EncodedChunk:
        """Run the frames of a chunk, in whole temporal patches, through the vision encoder.

        Args:
            frames: the frames.
            layout: of their chunk.
            place: what the last cached token belongs to.
            video: their embeddings, if they were encoded before.

        """
        if video is None:
            levels = pixel_values(frames, self._pixels, self._device)
            video = self._runner.encode(*patchify(levels, self._pixels))
        ids: list[int] = []
        spans, times = [], self.times(frames)
        for part in layout.parts:
            ids += [*part.before, *[self._prompt.pad] * math.prod(part.grid), *part.after]
            spans.append(VideoSpan(part.grid, times[: part.grid.t]))
            times = times[part.grid.t :]
        return EncodedChunk(
            ids,
            video,
            spans,
            layout.place,
            chunk_labels(self._memory, self._prompt, place, layout, frames),
            self._memory.segment + sum(bool(part.before) for part in layout.parts),
        )

    def times(self, frames: Sequence[Frame]) -> tuple[int, ...]:
        """Return the time of every temporal patch."""
        return tuple(frame.time_ns for frame in frames[:: self._pixels.temporal_patch_size])


def chunk_labels(
    memory: EvictionPolicy,
    prompt: Prompt,
    place: Place,
    layout: ChunkLayout,
    frames: Sequence[Frame],
) -> Labels:
    """Return what the tokens of a chunk are, and how many of each.

    Args:
        memory: knows the numbers of segments and turns.
        prompt: knows what leads into a user turn.
        place: what the last cached token belongs to.
        layout: the chunk's tokens.
        frames: its frames, in whole temporal patches.

    """
    segment = memory.segment
    labels: Labels = []
    patches = sum(part.grid.t for part in layout.parts)
    firsts = list(frames[:: len(frames) // patches])
    for part in layout.parts:
        if part.before:
            lead = _lead(memory, prompt, place, segment, firsts[0])
            segment += 1
            mark = len(part.before) - sum(size for size, _ in lead)
            labels += lead
            if mark:
                labels.append((mark, EntryInfo(EntryKind.MARK, segment)))
            place = Place.USER_TURN
        for frame in firsts[: part.grid.t]:
            info = EntryInfo(EntryKind.PATCH, segment, frame.time_ns, frame.stamp_ns, frame.number)
            labels.append((part.grid.h * part.grid.w, info))
        firsts = firsts[part.grid.t :]
        if part.after:
            labels.append((len(part.after), EntryInfo(EntryKind.MARK, segment)))
    return labels


def _lead(
    memory: EvictionPolicy, prompt: Prompt, place: Place, segment: int, first: Frame
) -> Labels:
    """Return what is before the opening of a vision segment: the prefix, or ``lead_in``."""
    if place is not Place.NOTHING:
        return lead_in(memory, prompt, place, segment)
    # The texts before later patches count from here.
    time_ns = first.time_ns if prompt.each_patch_opens else 0
    return [(prompt.prefix_tokens, EntryInfo(EntryKind.PREFIX, time_ns=time_ns))]


def lead_in(memory: EvictionPolicy, prompt: Prompt, place: Place, segment: int) -> Labels:
    """Return what leads from a place into a user turn; it is evicted with what it ends."""
    tokens = len(prompt.enter_user_turn(place))
    label = (
        EntryInfo(EntryKind.MARK, segment)
        if place is Place.VIDEO
        else EntryInfo(EntryKind.TURN, memory.turn)
    )
    return [(tokens, label)] if tokens else []
