# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Chunks that several streams are about to prefill: encoded ahead, in one ViT call.

It is a forecast.  A stream finds what was encoded for it by the very images that it appends; where
something has come between, it encodes by itself as if there had been none.  So nothing that is
done here, or goes wrong here, can change what a stream has.
"""

from __future__ import annotations

from collections.abc import Sequence
import contextlib
import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import torch

from streamvlm_ros.engine.models.preprocessing import grid_of, patchify, upload
from streamvlm_ros.engine.positions import Grid
from streamvlm_ros.engine.runner.model_runner import ModelRunner
from streamvlm_ros.engine.stream.frames import Frame, pixel_values, WaitingFrame

if TYPE_CHECKING:
    from streamvlm_ros.engine.models.base import StreamingModel
    from streamvlm_ros.engine.stream.stream import FrameStream

# Tokens of one call.  The more there are, the better a GPU is filled, until it is full; and they
# take room.  Four chunks of 4 frames of 448 x 448 are chosen, not measured.  On a CPU a call that
# leaves the caches was measured to take longer than two that do not, and one of this size not.
LARGEST_ON_GPU, LARGEST_ON_CPU = 2048, 256


@dataclasses.dataclass(eq=False)
class PendingChunk:
    """A chunk whose last frames still wait.

    Attributes:
        ahead: its stream's.
        waiting: the frames that are not in the stream yet.
        frames: all of its frames, these the last of them.
        grid: its merged token grid.
        video: embeddings [v, hidden_size]; None: it was not encoded.

    """

    ahead: EncoderCache
    waiting: Sequence[WaitingFrame]
    frames: Sequence[Frame]
    grid: Grid
    video: torch.Tensor | None = None

    def shows(self, frames: Sequence[Frame]) -> bool:
        """Tell whether it is made of the very images of some frames."""
        return len(frames) == len(self.frames) and all(
            mine.image is other.image for mine, other in zip(self.frames, frames)
        )


class EncoderCache:
    """What is known of a stream's next chunk before its frames are appended.

    Attributes:
        model: what encodes it.
        alone: chunks that the stream had to encode by itself since it began.
        together: chunks that it found encoded.

    """

    def __init__(self, stream: FrameStream, model: StreamingModel, chunk_frames: int) -> None:
        """Know nothing yet."""
        self.model = model
        self._stream = stream
        self._device = model.device
        self._chunk_frames = chunk_frames
        self._due: PendingChunk | None = None  # prepared
        self.alone = self.together = 0

    @property
    def lacking(self) -> int:
        """Frames that must come until the chunk is full."""
        return self._chunk_frames - len(self._stream.pending) - self._stream.left_out

    def chunk(self, waiting: Sequence[WaitingFrame]) -> PendingChunk | None:
        """Return the chunk that waiting frames will complete.

        None where they will not, as there are too few, or one has another size or goes back in
        time; and where it was prepared before, whatever came of that.
        """
        stream = self._stream
        coming = [Frame(each.image, each.stamp_ns, each.stamp_ns) for each in waiting]
        frames = [*stream.pending, *coming]
        stamps = [frame.stamp_ns for frame in [stream.newest, *coming] if frame is not None]
        if (
            len(waiting) < self.lacking
            or len({frame.size for frame in frames}) > 1
            or stamps != sorted(stamps)
            or (self._due is not None and self._due.shows(frames))
        ):
            return None
        return PendingChunk(
            self, waiting, frames, grid_of(frames[0].size, len(frames), stream.pixels)
        )

    def prepare(self, chunk: PendingChunk) -> torch.Tensor | None:
        """Bring a chunk's frames to the device, where they will be found too.

        Returns:
            Its patches; None where the stream will leave some of them out as still.

        """
        self._due, pixels = chunk, self._stream.pixels
        chunk.frames = [
            frame
            if frame.pixel_values is not None
            else dataclasses.replace(frame, pixel_values=upload(frame.image, pixels, self._device))
            for frame in chunk.frames
        ]
        begun = (len(chunk.frames) - len(chunk.waiting)) // pixels.temporal_patch_size
        if self._stream.still.any_still(chunk.frames[begun * pixels.temporal_patch_size :]):
            return None
        return patchify(pixel_values(chunk.frames, pixels, self._device), pixels)[0]

    def pixel_values(self, image: np.ndarray) -> torch.Tensor:
        """Return an image as ``preprocessing.upload`` does, which may have been done before."""
        for frame in self._due.frames if self._due else ():
            if frame.image is image and frame.pixel_values is not None:
                return frame.pixel_values
        return upload(image, self._stream.pixels, self._device)

    def take(self, frames: Sequence[Frame]) -> torch.Tensor | None:
        """Return the embeddings of frames that were encoded ahead, and forget them."""
        video = None
        if self._due is not None and self._due.shows(frames):
            video, self._due = self._due.video, None
        self.alone += video is None
        self.together += video is not None
        return video

    def forget(self) -> None:
        """Know nothing again."""
        self._due = None
        self.alone = self.together = 0


@torch.inference_mode()
def encode_batch(chunks: Sequence[PendingChunk]) -> list[PendingChunk]:
    """Encode the first chunk in one ViT call with others of the same grid, as many as are due.

    The ViT never mixes temporal patches: each chunk's embeddings are what they are alone.

    What fails is left to the streams' own turns.  There each encodes by itself, so that a fault
    is counted against the stream that it belongs to, and the others lose nothing.

    Returns:
        Those that were encoded; none where nothing could be joined.

    """
    grid, model = chunks[0].grid, chunks[0].ahead.model
    largest = LARGEST_ON_CPU if model.device.type == 'cpu' else LARGEST_ON_GPU
    alike = [chunk for chunk in chunks if chunk.grid == grid][: largest // grid.tokens]
    patches: dict[PendingChunk, torch.Tensor] = {}
    for chunk in alike if len(alike) > 1 else ():
        with contextlib.suppress(Exception):
            prepared = chunk.ahead.prepare(chunk)
            if prepared is not None:
                patches[chunk] = prepared
    if len(patches) < 2:
        return []
    with contextlib.suppress(Exception):
        video = ModelRunner.of(model).encode(
            torch.cat(list(patches.values())), Grid(len(patches) * grid.t, grid.h, grid.w)
        )
        for chunk, embeddings in zip(patches, video.split(grid.tokens)):
            chunk.video = embeddings
        return list(patches)
    return []
