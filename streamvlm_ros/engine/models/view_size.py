# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How large the frames are that views read afresh, and the room that they need."""

from __future__ import annotations

from streamvlm_ros.engine.config import LARGEST_NOW, StreamSettings
from streamvlm_ros.engine.models.preprocessing import ImageProcessorConfig
from streamvlm_ros.engine.models.prompt import Prompt


def now_pixels(settings: StreamSettings, pixels: ImageProcessorConfig) -> ImageProcessorConfig:
    """Return a model's preprocessing with the bounds of the newest frames of a view."""
    largest = max(settings.max_pixels, min(pixels.max_pixels, LARGEST_NOW))
    return pixels.bounded(settings.min_pixels, settings.now_max_pixels or largest)


def span_pixels(settings: StreamSettings, pixels: ImageProcessorConfig) -> ImageProcessorConfig:
    """Return a model's preprocessing with the bounds of a span's frames: the stream's own."""
    largest = settings.max_pixels or min(pixels.max_pixels, LARGEST_NOW)
    return pixels.bounded(settings.min_pixels, largest)


def view_tokens(
    settings: StreamSettings, pixels: ImageProcessorConfig, prompt: Prompt | None = None
) -> int:
    """Return how many tokens a view has room for.

    Args:
        settings: the stream's.
        pixels: the model's preprocessing.
        prompt: the stream's; None counts the frames alone.

    """
    temporal = pixels.temporal_patch_size
    around = prompt.most_around_timed_patch if prompt else 0
    lead = prompt.prefix_tokens + around if prompt else 0
    small = span_pixels(settings, pixels).most_tokens + around
    large = now_pixels(settings, pixels).most_tokens + around
    waiting = settings.chunk_frames // temporal * small
    return settings.view_tokens or lead + max(
        waiting + -(-settings.now_frames // temporal) * large,
        settings.view_frames // temporal * small,
    )
