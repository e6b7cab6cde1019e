# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Chunks that several streams will prefill next, encoded before their turn in one ViT call.

It is a forecast.  A stream finds an encoded chunk by the frame objects that it appends; if these
are others after all, it encodes its chunk itself.  So neither the work here nor a fault in it can
change the content of a stream.
"""

from __future__ import annotations

from collections.abc import Sequence
import contextlib
import dataclasses
import math

import torch

from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.models.preprocessing import ImageProcessorConfig, patchify
from streamvlm_ros.engine.positions import Grid
from streamvlm_ros.engine.runner.model_runner import ModelRunner
from streamvlm_ros.engine.stream.frames import Frame, pixel_values
from streamvlm_ros.engine.stream.static_filter import StaticFilter

# Most tokens of one call.  More tokens use a GPU better until it is busy, but take memory; the
# value is four chunks of 4 frames of 448 x 448, chosen and not measured.  On a CPU, one call too
# large for the processor's caches was measured to take longer than two small ones.
LARGEST_ON_GPU, LARGEST_ON_CPU = 2048, 256


@dataclasses.dataclass(eq=False)
class PendingChunk:
    """A chunk whose last frames still wait in the queue.

    Attributes:
        cache: where it is kept once it is encoded.
        frames: all of its frames.
        waiting: the last of them, which are not in the stream yet.
        grid: its merged token grid.
        embeddings: [v, hidden_size]; None: not encoded.

    """

    cache: EncoderCache
    frames: Sequence[Frame]
    waiting: Sequence[Frame]
    grid: Grid
    embeddings: torch.Tensor | None = None

    def holds(self, frames: Sequence[Frame]) -> bool:
        """Tell whether it consists of these frame objects."""
        return len(frames) == len(self.frames) and all(
            mine is other for mine, other in zip(self.frames, frames)
        )


class EncoderCache:
    """A stream's next chunk, encoded before its frames are appended.

    Attributes:
        model: what encodes it.
        prepared: the chunk whose frames were last brought to the device; None: there is none.

    """

    def __init__(
        self, model: StreamingModel, pixels: ImageProcessorConfig, static: StaticFilter
    ) -> None:
        """Begin with no chunk; ``static`` predicts what the stream will leave out."""
        self.model = model
        self.prepared: PendingChunk | None = None
        self._pixels = pixels
        self._static = static

    def prepare(self, chunk: PendingChunk) -> torch.Tensor | None:
        """Bring a chunk's frames to the device, where the stream will find them.

        Returns:
            Its patches; None if the stream will leave some of them out as still.

        """
        self.prepared, pixels = chunk, self._pixels
        levels = pixel_values(chunk.frames, pixels, self.model.device)
        begun = (len(chunk.frames) - len(chunk.waiting)) // pixels.temporal_patch_size
        if self._static.any_still(chunk.frames[begun * pixels.temporal_patch_size :]):
            return None
        return patchify(levels, pixels)[0]

    def take(self, frames: Sequence[Frame]) -> torch.Tensor | None:
        """Return the embeddings of frames that were encoded, and forget them."""
        if self.prepared is None or not self.prepared.holds(frames):
            return None
        embeddings, self.prepared = self.prepared.embeddings, None
        return embeddings


@torch.inference_mode()
def encode_batch(chunks: Sequence[PendingChunk]) -> list[PendingChunk]:
    """Encode the first chunk in one ViT call with others of the same grid, as many as are due.

    The ViT never mixes temporal patches: each chunk's embeddings are what they are alone.

    What fails here is done again in the streams' own turns, where each encodes its own chunk.  So
    a fault is counted against the stream that it belongs to, and the others lose nothing.

    Returns:
        The chunks that were encoded; empty if there were not two to join.

    """
    grid, model = chunks[0].grid, chunks[0].cache.model
    largest = LARGEST_ON_CPU if model.device.type == 'cpu' else LARGEST_ON_GPU
    alike = [chunk for chunk in chunks if chunk.grid == grid][: largest // math.prod(grid)]
    patches: dict[PendingChunk, torch.Tensor] = {}
    for chunk in alike if len(alike) > 1 else ():
        with contextlib.suppress(Exception):
            prepared = chunk.cache.prepare(chunk)
            if prepared is not None:
                patches[chunk] = prepared
    if len(patches) < 2:
        return []
    with contextlib.suppress(Exception):
        video = ModelRunner.of(model).encode(
            torch.cat(list(patches.values())), Grid(len(patches) * grid.t, grid.h, grid.w)
        )
        for chunk, embeddings in zip(patches, video.split(math.prod(grid))):
            chunk.embeddings = embeddings
        return list(patches)
    return []
