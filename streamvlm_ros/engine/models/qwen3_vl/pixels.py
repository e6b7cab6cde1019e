# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Qwen3-VL's rule for the size of frames."""

from __future__ import annotations

import dataclasses

from streamvlm_ros.engine.models.preprocessing import ImageProcessorConfig, smart_resize

# Of a frame: what Qwen's own preparation of videos takes at most, whatever a file says.
MOST_TOKENS = 768


class FramePixels(ImageProcessorConfig):
    """Sides of whole tokens, and bounds that hold for a frame.

    The files of this family bound the pixels of a whole video, all its frames together.  A stream
    has no last frame, so that its frames are as large as those of a video that is far from its
    upper bound, and has more than one small frame: one token at least, and ``MOST_TOKENS`` at
    most.  Stock does the same with ``cap_pixels_per_frame``, until a video is at its bound.
    """

    def of_frames(self) -> FramePixels:
        """See ``ImageProcessorConfig``."""
        token = self.factor**2
        most = min(self.max_pixels // self.temporal_patch_size, MOST_TOKENS * token)
        return dataclasses.replace(self, min_pixels=token, max_pixels=max(most, token))

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """See ``ImageProcessorConfig``: sides shorter than a token are enlarged to one first."""
        least = self.factor
        if height < least or width < least:
            scale = max(least / height, least / width)
            height, width = int(height * scale), int(width * scale)
        return smart_resize(height, width, self)
