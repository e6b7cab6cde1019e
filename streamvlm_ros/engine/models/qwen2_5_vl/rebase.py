# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where kept tokens go when positions are counted anew.

In continuous mode what stays is the prefix, kept turns, and the vision segment's origin in
H and W.  The rule, entry by entry in the order in which they came:

- The prefix stays where it is.
- An entry that follows another one without a gap moves as that one did, on all three axes.
- After a gap, text begins right after the largest new position over all three axes, as the
  position rule has it.
- A vision segment that has lost its oldest patches keeps its origin in H and W.  In T it moves
  back by as much as what is gone took, until its oldest patch is at the origin.  If the segment
  is closed, the text after it moves back as far, but never into its rows and columns; the
  segment then goes only as far as the text does.

So the distances of kept tokens to each other stay as they are in T, H and W, except across a gap
and, in a segment that has lost patches, between its T and its own H and W.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import itertools

from streamvlm_ros.engine.kvcache.entries import CacheEntry, EntryKind
from streamvlm_ros.engine.kvcache.rebase import first_place, Move, places
from streamvlm_ros.engine.positions import StreamState


def rebase_plan(
    entries: Sequence[CacheEntry], state: StreamState
) -> tuple[list[Move], StreamState]:
    """Return where every entry goes, and the position state after them; see the module."""
    moves: list[Move] = []
    shift = 0  # of what comes next, if nothing is missing before it
    hw = 0
    runs = [list(run) for _, run in itertools.groupby(entries, _run)]
    for index, run in enumerate(runs):
        before = runs[index - 1][-1] if index else None
        gap = before is not None and before.first + before.tokens != run[0].first
        if run[0].info.kind is not EntryKind.PATCH:
            for entry in run:
                if before is not None and before.first + before.tokens != entry.first:
                    shift = first_place(entry) - 1 - int(moves[-1].positions.max())
                moves.append(Move(entry, shift, shift))
                before = entry
            continue
        # The segment's mark, or the prefix, stands right before its origin.
        hw, origin = shift, min(int(places(entry)[1].min()) for entry in run) - shift
        size = max(int(places(entry)[1:].max()) for entry in run) - shift - origin + 1
        if gap:
            shift = first_place(run[0]) - origin
            if index + 1 < len(runs):
                shift = min(shift, first_place(runs[index + 1][0]) - origin - size)
        moves.extend(Move(entry, shift, hw) for entry in run)
    segment = state.segment
    if segment is not None:
        if moves[-1].entry.info.kind is not EntryKind.PATCH:
            # The open segment has no patch left: only what comes next can stand somewhere.
            hw = shift
        origin, size = segment.origin - hw, max(segment.rows, segment.columns)
        if moves[-1].entry.info.kind is not EntryKind.PATCH:
            shift = max(hw, state.last_cache_position - origin - size + 1)
        segment = dataclasses.replace(segment, origin=origin, rebased=segment.rebased + shift - hw)
        return moves, dataclasses.replace(
            state,
            segment=segment,
            last_cache_position=max(state.last_cache_position - shift, origin + size - 1),
        )
    return moves, dataclasses.replace(state, last_cache_position=state.last_cache_position - shift)


def _run(entry: CacheEntry) -> tuple[EntryKind, int]:
    """Return the same for patches of one vision segment, and for all that is no patch."""
    patch = entry.info.kind is EntryKind.PATCH
    return (EntryKind.PATCH, entry.info.group) if patch else (EntryKind.TEXT, 0)
