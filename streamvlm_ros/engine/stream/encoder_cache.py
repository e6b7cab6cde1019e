# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Chunks that several streams are about to prefill: encoded before their turn, in one ViT call.

It is a forecast.  A stream finds what was encoded for it by the very frames that it appends; where
something has come between, it encodes by itself as if there had been none.  So nothing that is
done here, or goes wrong here, can change what a stream has.
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

# Tokens of one call.  The more there are, the better a GPU is filled, until it is full; and they
# take room.  Four chunks of 4 frames of 448 x 448 are chosen, not measured.  On a CPU a call that
# leaves the caches was measured to take longer than two that do not, and one of this size not.
LARGEST_ON_GPU, LARGEST_ON_CPU = 2048, 256


@dataclasses.dataclass(eq=False)
class PendingChunk:
    """A chunk whose last frames still wait.

    Attributes:
        cache: where it is kept once it is encoded.
        frames: all of its frames.
        waiting: the last of them, which are not in the stream yet.
        grid: its merged token grid.
        embeddings: [v, hidden_size]; None: it was not encoded.

    """

    cache: EncoderCache
    frames: Sequence[Frame]
    waiting: Sequence[Frame]
    grid: Grid
    embeddings: torch.Tensor | None = None

    def holds(self, frames: Sequence[Frame]) -> bool:
        """Tell whether it is made of these very frames."""
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
        """Begin with no chunk; ``static`` foretells what the stream will leave out."""
        self.model = model
        self.prepared: PendingChunk | None = None
        self._pixels = pixels
        self._static = static

    def prepare(self, chunk: PendingChunk) -> torch.Tensor | None:
        """Bring a chunk's frames to the device, where the stream will find them.

        Returns:
            Its patches; None where the stream will leave some of them out as still.

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

    What fails is left to the streams' own turns.  There each encodes by itself, so that a fault
    is counted against the stream that it belongs to, and the others lose nothing.

    Returns:
        Those that were encoded; none where nothing could be joined.

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
