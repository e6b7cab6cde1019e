# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Streams over random models."""

from __future__ import annotations

from support.models.random_models import processor, random_clip, random_model

from streamvlm_ros.engine import StreamSettings, VideoStreamingInference


def stream(shape: str = 'grouped', **settings) -> VideoStreamingInference:
    """Return an engine on a random model."""
    return VideoStreamingInference(
        random_model(shape),
        processor(),
        settings=StreamSettings(**{'sample_rate': 0.0, **settings}),
    )


def clip(seed: int, frames: int):
    """Return small frames: two of them are a temporal patch of four tokens."""
    return random_clip(seed, frames, 56, 56)
