# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A frame queue by itself: made, filled with frames of given sizes or stamps, and drained."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamvlm_ros.engine import (
    StreamSettings,
)
from streamvlm_ros.engine.serving.frame_queue import FrameQueue
from streamvlm_ros.engine.serving.metrics import Counters

SECOND = 10**9


PATIENCE = 60.0


SIZES = {'.': (56, 56), 'o': (56, 84)}


def intake(queue_frames: int, **settings: Any) -> tuple[FrameQueue, Counters]:
    """Return an intake that takes every frame, and its counters."""
    counters = Counters()
    made = FrameQueue(StreamSettings(**{'sample_rate': 0.0, **settings}), queue_frames, counters)
    return made, counters


def put(made: FrameQueue, sizes: str, first: int = 1) -> None:
    """Put frames of these sizes with the stamps ``first``, ``first + 1`` …"""
    for stamp, size in enumerate(sizes, start=first):
        made.put(np.zeros((*SIZES[size], 3), np.uint8), stamp, '')


def drain(made: FrameQueue) -> list[int]:
    """Return the stamps of what waits."""
    stamps = []
    while (frame := made.take()) is not None:
        made.taken(frame, None)
        stamps.append(frame.stamp_ns)
    return stamps


def outcomes(counters: Counters) -> tuple[int, ...]:
    """Return what has become of the frames that came."""
    return (
        counters.received,
        counters.sampled_out,
        counters.ingested,
        counters.dropped,
        counters.failed,
        counters.late,
        counters.stamp_jumps,
    )


HOUR = 3600 * SECOND


def stamped(made: FrameQueue, *stamps: int) -> None:
    for stamp in stamps:
        made.put(np.zeros((56, 56, 3), np.uint8), stamp, '')
