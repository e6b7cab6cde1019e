# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The second family's rule of time: it is in the text, so that T stands still in a segment."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses

from streamvlm_ros.engine.kvcache.entries import CacheEntry
from streamvlm_ros.engine.kvcache.rebase import first_place, Move
from streamvlm_ros.engine.positions import Segment, StreamState


class StillTime:
    """See ``PatchTime``."""

    def steps(self, segment: Segment, time_ns: int) -> int:
        """See ``PatchTime``."""
        return 0

    def can_follow(self, elapsed_ns: int, steps: int) -> bool:
        """See ``PatchTime``: no segment has a second temporal patch."""
        return False


def rebase_plan(
    entries: Sequence[CacheEntry], state: StreamState
) -> tuple[list[Move], StreamState]:
    """Close every gap; see ``PositionRule``."""
    moves: list[Move] = []
    shift, following = 0, 0
    for entry in entries:
        if entry.first != following:
            shift = first_place(entry) - 1 - int(moves[-1].positions.max())
        moves.append(Move(entry, shift, shift))
        following = entry.first + entry.tokens
    last = state.last_cache_position - shift
    return moves, dataclasses.replace(state, last_cache_position=last)
