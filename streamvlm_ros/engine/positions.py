# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where the tokens of a stream stand: integers only, decided by the state, not the caller."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple


class Grid(NamedTuple):
    """A video's merged token grid: temporal patches, rows, columns.

    Their product, ``math.prod(grid)``, is how many tokens it takes in the prompt.
    """

    t: int
    h: int
    w: int


@dataclasses.dataclass(frozen=True)
class VideoSpan:
    """Temporal patches that are prefilled together.

    Attributes:
        grid: the merged token grid.
        times_ns: time of every temporal patch (its first frame's), on any clock.

    """

    grid: Grid
    times_ns: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Segment:
    """The vision segment that is open at the end of the cache.

    Attributes:
        origin: where its rows and columns begin.
        start_ns: time of its first temporal patch.
        last_ns: time of its newest one.
        rows: of its token grid.
        columns: of its token grid.
        rebased: how far re-basing has moved its T back, beyond its origin.

    """

    origin: int
    start_ns: int
    last_ns: int
    rows: int
    columns: int
    rebased: int = 0


@dataclasses.dataclass(frozen=True)
class StreamState:
    """Where a stream stands: everything that positions depend on.

    Attributes:
        length: tokens in the cache.
        last_cache_position: largest position over all three axes; -1 when nothing is cached.
        segment: the open vision segment, when the last cached token is a video token.

    """

    length: int = 0
    last_cache_position: int = -1
    segment: Segment | None = None

    @property
    def rope_deltas(self) -> int:
        """Next position minus next index, always of this state."""
        return self.last_cache_position + 1 - self.length
