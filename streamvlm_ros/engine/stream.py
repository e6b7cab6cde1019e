# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One stream: frames in, chunks prefilled; what is cached and where the prompt stands."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses

import torch

from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.frames import Frame, PixelSettings, smart_resize, to_patches
from streamvlm_ros.engine.model import StreamQwenModel
from streamvlm_ros.engine.positions import Grid, StreamState, VideoPart
from streamvlm_ros.engine.prompt import Place, Prompt
from streamvlm_ros.engine.settings import StreamSettings


@dataclasses.dataclass(frozen=True)
class EncodedChunk:
    """A chunk ready to be prefilled: token ids, video embeddings and where they belong."""

    ids: list[int]
    video: torch.Tensor
    part: VideoPart
    place: Place


class FrameStream:
    """The frames' way into the cache.

    Attributes:
        cache: the stream's keys and values.
        state: its position state; the stream's own, so that streams can share a model.
        pending: frames that do not fill a chunk yet.
        place: what the last cached token belongs to.
        frames: frames cached or pending since the stream began.
        oldest, newest: first and last of them; None before any.

    """

    def __init__(self, model: StreamQwenModel, prompt: Prompt, pixels: PixelSettings,
                 settings: StreamSettings) -> None:
        """Allocate the cache."""
        self._model = model
        self._prompt = prompt
        self._pixels = dataclasses.replace(
            pixels, min_pixels=settings.min_pixels or min(
                pixels.min_pixels, settings.max_pixels or pixels.min_pixels),
            max_pixels=settings.max_pixels or pixels.max_pixels)
        self._settings = settings
        self.cache = model.new_cache(settings.capacity)
        self.clear()

    def clear(self) -> None:
        """Forget everything; the buffers stay."""
        self.cache.length = 0
        self.state = StreamState()
        self.pending: list[Frame] = []
        self.place = Place.NOTHING
        self.frames = 0
        self.oldest: Frame | None = None
        self.newest: Frame | None = None
        self._size: tuple[int, int] | None = None

    def append(self, frame: Frame) -> None:
        """Buffer a frame; prefill when a chunk is full or the image size changes.

        Raises:
            StreamError: OUT_OF_MEMORY; the frame was not taken, the stream is as it was.  The same
                holds for whatever else the device raises in the prefill.

        """
        if self.pending and frame.size != self.pending[-1].size:
            self.flush(complete=True)
        self._check_room(frame)
        self.pending.append(frame)
        if len(self.pending) >= self._settings.chunk_frames:
            try:
                self.flush()
            except BaseException:
                self.pending.pop()
                raise
        self.frames += 1
        self.oldest = self.oldest or frame
        self.newest = frame

    def flush(self, complete: bool = False) -> None:
        """Prefill the pending whole pairs; ``complete`` repeats a last odd frame and takes it."""
        temporal = self._pixels.temporal_patch_size
        frames = self.pending[:len(self.pending) // temporal * temporal]
        if complete and len(self.pending) > len(frames):
            frames = [*self.pending, self.pending[-1]]
        if frames:
            chunk = self.encode(frames)
            positions, state = self._model.position_rule.place(
                self.state, chunk.ids, [chunk.part])
            self._model.prefill(self._model.embed(chunk.ids, chunk.video), positions, self.cache)
            self.state = state
            self.place = chunk.place
            self._size = frames[-1].size
            self.pending = self.pending[len(frames):]

    def encode(self, frames: Sequence[Frame]) -> EncodedChunk:
        """Run an even number of frames of one size through the ViT; change nothing."""
        patches, grid = to_patches([frame.image for frame in frames], self._pixels,
                                   self._model.device)
        times = tuple(frame.time_ns for frame in frames[::self._pixels.temporal_patch_size])
        before, behind, place = self._around(frames[0])
        ids = [*before, *[self._prompt.pad] * grid.tokens, *behind]
        return EncodedChunk(ids, self._model.encode_video(patches, grid),
                            VideoPart(grid, times), place)

    def tail_frames(self) -> list[Frame]:
        """Return the odd frame that is left after ``flush``, completed; or nothing."""
        return [self.pending[-1], self.pending[-1]] if self.pending else []

    def _around(self, frame: Frame) -> tuple[list[int], list[int], Place]:
        """Return the ids before and behind a chunk's video tokens, and the place then."""
        if self._settings.position_mode == 'append':
            return (self._prompt.open_segment(self.place), self._prompt.close_segment(),
                    Place.USER_TURN)
        if self.place is Place.VIDEO and frame.size == self._size:
            return [], [], Place.VIDEO
        return self._prompt.open_segment(self.place), [], Place.VIDEO

    def _check_room(self, frame: Frame) -> None:
        """Refuse a frame whose chunk would not fit, before it is taken."""
        factor = self._pixels.factor
        height, width = smart_resize(*frame.size, self._pixels)
        pairs = len(self.pending) // self._pixels.temporal_patch_size + 1
        grid = Grid(pairs, height // factor, width // factor)
        before, behind, _ = self._around(frame)
        needed = len(before) + grid.tokens + len(behind)
        if needed > self.cache.capacity:
            raise StreamError(
                ErrorCode.OUT_OF_MEMORY,
                f'{pairs} temporal patches of {width}x{height} pixels are {needed} tokens, the '
                f'KV cache holds {self.cache.capacity}; raise the capacity or lower max_pixels.')
        self.cache.reserve(needed)
