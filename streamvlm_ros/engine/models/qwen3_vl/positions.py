# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Qwen3-VL's time: it is written before each temporal patch, so T stands still inside of one."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses

import torch

from streamvlm_ros.engine.kvcache.entries import CacheEntry
from streamvlm_ros.engine.kvcache.rebase import first_place, Move
from streamvlm_ros.engine.models.base import PatchText
from streamvlm_ros.engine.positions import Segment, StreamState
from streamvlm_ros.stamps import NANOSECONDS


def seconds_text(elapsed_ns: Sequence[int]) -> str:
    """Return the text before a temporal patch: the mean time of its frames; ``PatchText.of``.

    It is computed as stock's processor does, in doubles: its times are often half-way between two
    numbers with one decimal, and then the last bit decides.
    """
    first, last = elapsed_ns[0] / NANOSECONDS, elapsed_ns[-1] / NANOSECONDS
    return f'<{(first + last) / 2:.1f} seconds>'


# Stamps end in the year 2262, so there are ten digits at most; a token has at least one byte.
SECONDS = PatchText(of=seconds_text, most_tokens=len('<9999999999.9 seconds>'))


def interleaved_axes(section: Sequence[int], half: int) -> torch.Tensor:
    """Return the axis of each of ``half`` frequencies: T, H and W take turns.

    Args:
        section: how many frequencies T, H and W have.
        half: their number, half the width of a head. H and W have every third one from the second
            and the third on; T has all others.

    """
    axes = torch.zeros(half, dtype=torch.long)
    for axis in (1, 2):
        axes[axis : 3 * section[axis] : 3] = axis
    return axes


class StillTime:
    """See ``PatchTime``."""

    def steps(self, segment: Segment, time_ns: int) -> int:
        """See ``PatchTime``."""
        return 0

    def can_follow(self, elapsed_ns: int, steps: int) -> bool:
        """See ``PatchTime``: no vision segment has a second temporal patch."""
        return False


def rebase_plan(
    entries: Sequence[CacheEntry], state: StreamState
) -> tuple[list[Move], StreamState]:
    """Close every gap; see ``PositionRule``.

    What follows a gap begins right after the largest position before it, and all that comes later
    moves as far, alike on all axes.  The written times stay as they were written: they are tokens
    in the cache, and still count from the stream's first frame, as those of later patches do.
    """
    moves: list[Move] = []
    shift, following = 0, 0
    for entry in entries:
        if entry.first != following:
            shift = first_place(entry) - 1 - int(moves[-1].positions.max())
        moves.append(Move(entry, shift, shift))
        following = entry.first + entry.tokens
    last = state.last_cache_position - shift
    return moves, dataclasses.replace(state, last_cache_position=last)
