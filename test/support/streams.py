# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Streams over random models."""

from __future__ import annotations

from typing import Any

import numpy as np
from support.models.random_models import processor, random_clip, random_model

from streamvlm_ros.engine import StreamSettings, VideoStreamingInference


def stream(shape: str = 'grouped', **settings: Any) -> VideoStreamingInference:
    """Return an engine on a random model."""
    return VideoStreamingInference(
        random_model(shape),
        processor(),
        settings=StreamSettings(**{'sample_rate': 0.0, **settings}),
    )


def clip(seed: int, frames: int) -> list[np.ndarray]:
    """Return small frames: two of them are a temporal patch of four tokens."""
    return random_clip(seed, frames, 56, 56)


def everything(engine: Any) -> tuple:
    """Return all that a stream consists of, the keys and values of what is cached as bytes."""
    inner = engine.stream
    cache, memory = inner.cache, inner.memory
    entries = [
        (entry.spans, entry.first, entry.info, entry.positions.tolist()) for entry in cache.entries
    ]
    content = [side for layer in range(len(cache.keys)) for side in cache.content(layer)]
    return (
        entries,
        cache.spans,
        inner.state,
        inner.place,
        inner.size,
        inner.left_out,
        inner.skipped_ns,
        [frame.number for frame in inner.pending],
        inner.frames,
        (memory.segment, memory.turn, memory.evicted_tokens),
        inner.still.skipped,
        [side.numpy().tobytes() for side in content],
    )
