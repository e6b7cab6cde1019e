# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ViT over static buffers, which a GPU replays: one for every number and size of frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from streamvlm_ros.engine.models.qwen2_5_vl.vision import encode_video
from streamvlm_ros.engine.ops.kernels.operations import KERNELS
from streamvlm_ros.engine.positions import Grid

if TYPE_CHECKING:
    from streamvlm_ros.engine.models.qwen2_5_vl.model import StreamQwenModel


class EncoderPass:
    """Patches to embeddings.

    Attributes:
        frames: patches [t * h * w * merge^2, depth], to be written before a run.
        embeddings: [t * h * w, hidden_size] of the last run.

    """

    def __init__(self, model: StreamQwenModel, frames: torch.Tensor, grid: Grid) -> None:
        """Make static buffers like ``frames``, which are a merged grid of patches."""
        self._weights, self._grid = model.vision, grid
        self.frames = torch.empty_like(frames)
        self.embeddings: torch.Tensor | None = None

    def run(self) -> None:
        """Launch the pass."""
        result = encode_video(self._weights, self.frames, self._grid, KERNELS)
        self.embeddings = result if self.embeddings is None else self.embeddings.copy_(result)
