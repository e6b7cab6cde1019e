# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The rule of M-RoPE, written out token by token; see docs/design/positions.md.

Written apart from the engine on purpose: it is what the engine is compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
import math

# A video in a prompt: the merged grid (t, h, w), and the times of its patches in nanoseconds.
Video = tuple[tuple[int, int, int], Sequence[int]]


def written_positions(
    ids: Sequence[int], videos: Sequence[Video], pad: int, tokens_per_second: float
) -> list[list[int]]:
    """Return the positions of a prompt: three lists of len(ids), for T, H and W.

    Args:
        ids: of the prompt.
        videos: in the order in which they stand in it.
        pad: the id that stands for a token of a video.
        tokens_per_second: the model's.

    """
    rows: list[tuple[int, int, int]] = []
    largest = -1
    left = iter(videos)
    while len(rows) < len(ids):
        start = largest + 1
        if ids[len(rows)] != pad:
            rows.append((start, start, start))
            largest = start
            continue
        (_, height, width), times = next(left)
        for time_ns in times:
            seconds = Fraction(time_ns - times[0], 10**9)
            t = start + math.floor(seconds * Fraction(tokens_per_second))
            rows += [(t, start + y, start + x) for y in range(height) for x in range(width)]
        largest = max(max(row) for row in rows)
    return [list(axis) for axis in zip(*rows)]
