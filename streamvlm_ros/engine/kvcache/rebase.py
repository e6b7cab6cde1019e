# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Re-basing: the positions of what is kept, as if what is gone had never been.

Positions of an endless stream would grow without end, and with them the distance to what stays:
the prefix, kept turns, and in continuous mode the vision segment's origin in H and W.  So from
time to time the gaps that eviction left are closed, and the kept keys rotated to match.

The rule, unit by unit in the order in which they came:

- The prefix stays where it is.
- What follows its predecessor without a gap moves as its predecessor did, on all three axes.
- Behind a gap, text begins right behind the largest new position over all three axes, as the
  position rule has it.
- A vision segment that has lost its oldest patches keeps its origin in H and W.  In T it moves
  back by as much as what is gone took, until its oldest patch is at the origin.  If the segment
  is closed, the text behind it moves back as far, but never into its rows and columns; the
  segment then goes only as far as the text does.

So the distances of kept tokens to each other stay as they are in T, H and W, except across a gap
and, in a segment that has lost patches, between its T and its own H and W.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import itertools

import torch

from streamvlm_ros.engine.kvcache.entries import CacheEntry, EntryKind
from streamvlm_ros.engine.kvcache.eviction import EvictionPolicy
from streamvlm_ros.engine.ops.rotary import MRope
from streamvlm_ros.engine.positions import StreamState

# Tokens that are rotated at once, so that little memory is needed besides.
BLOCK = 4096


@dataclasses.dataclass(frozen=True)
class Move:
    """Positions that are to be subtracted from a unit's: on the T axis, and on H and W."""

    unit: CacheEntry
    t: int
    hw: int

    @property
    def positions(self) -> torch.Tensor:
        """The unit's new positions, int64 [3, n]."""
        return _of(self.unit) - torch.tensor([[self.t], [self.hw], [self.hw]])


def plan(units: Sequence[CacheEntry], state: StreamState) -> tuple[list[Move], StreamState]:
    """Return where every unit goes, and the position state behind them; see the module."""
    moves: list[Move] = []
    shift = 0  # of what comes next, if nothing is missing before it
    hw = 0
    runs = [list(run) for _, run in itertools.groupby(units, _run)]
    for index, run in enumerate(runs):
        before = runs[index - 1][-1] if index else None
        gap = before is not None and before.first + before.tokens != run[0].first
        if run[0].label.kind is not EntryKind.PATCH:
            for unit in run:
                if before is not None and before.first + before.tokens != unit.first:
                    shift = _first(unit) - 1 - int(moves[-1].positions.max())
                moves.append(Move(unit, shift, shift))
                before = unit
            continue
        # The segment's mark, or the prefix, stands right before its origin.
        hw, origin = shift, min(int(_of(unit)[1].min()) for unit in run) - shift
        size = max(int(_of(unit)[1:].max()) for unit in run) - shift - origin + 1
        if gap:
            shift = _first(run[0]) - origin
            if index + 1 < len(runs):
                shift = min(shift, _first(runs[index + 1][0]) - origin - size)
        moves.extend(Move(unit, shift, hw) for unit in run)
    segment = state.segment
    if segment is not None:
        if moves[-1].unit.label.kind is not EntryKind.PATCH:
            # The open segment has no patch left: only what comes next can stand somewhere.
            hw = shift
        origin, size = segment.origin - hw, max(segment.rows, segment.columns)
        if moves[-1].unit.label.kind is not EntryKind.PATCH:
            shift = max(hw, state.last_cache_position - origin - size + 1)
        segment = dataclasses.replace(segment, origin=origin, rebased=segment.rebased + shift - hw)
        return moves, dataclasses.replace(
            state,
            segment=segment,
            last_cache_position=max(state.last_cache_position - shift, origin + size - 1),
        )
    return moves, dataclasses.replace(state, last_cache_position=state.last_cache_position - shift)


def settle(
    memory: EvictionPolicy, state: StreamState, rotation: MRope, largest: int
) -> StreamState:
    """Count positions anew from what is kept.  Nobody may be reading the cache.

    What would still be more than three quarters of ``largest`` behind goes first, so that no
    distance gets larger than ``largest``, however far apart the kept patches are in time, and so
    that this has to be done seldom.

    Args:
        memory: what is kept; its cache's keys are rotated in place, values carry no position.
        state: the position state behind what is cached.
        rotation: what the keys were rotated by.
        largest: largest position of the stream.

    Returns:
        The position state from now on.

    """
    cache = memory.cache
    assert not cache.pinned
    moves, following = plan(cache.units, state)
    reach = following.last_cache_position - largest * 3 // 4
    far = [
        move.unit
        for move in moves
        if move.unit.label.kind is EntryKind.PATCH and _first(move.unit) - move.t < reach
    ]
    if far:
        memory.let_go([*far, *memory.empty_marks(far, memory.segment)])
        state = dataclasses.replace(state, length=cache.length)
        moves, following = plan(cache.units, state)
    for (start, end), old, new in _blocks([move for move in moves if move.t or move.hw]):
        turn = rotation.turn(old, new)
        for keys in cache.keys:
            turn(keys[:, start:end])
    for move in moves:
        move.unit.positions = move.positions
    cache.rebased += following != state
    return following


def _blocks(moves: Sequence[Move]) -> list[tuple[tuple[int, int], torch.Tensor, torch.Tensor]]:
    """Return contiguous slots with their old and new positions; what moves alike together."""
    pieces = []
    for move in moves:
        old, new, start = _of(move.unit), move.positions, 0
        for first, end in move.unit.spans:
            part = slice(start, start + end - first)
            pieces.append(((first, end), (move.t, move.hw), old[:, part], new[:, part]))
            start = part.stop
    pieces.sort(key=lambda piece: piece[0])
    blocks: list[list] = []
    for (first, end), by, old, new in pieces:
        block = blocks[-1] if blocks else None
        if block and block[1:3] == [first, by] and end - block[0] <= BLOCK:
            block[1] = end
            block[3].append(old)
            block[4].append(new)
        else:
            blocks.append([first, end, by, [old], [new]])
    return [
        ((first, end), torch.cat(old, dim=1), torch.cat(new, dim=1))
        for first, end, _, old, new in blocks
    ]


def _run(unit: CacheEntry) -> tuple[EntryKind, int]:
    """Return the same for patches of one vision segment, and for all that is no patch."""
    patch = unit.label.kind is EntryKind.PATCH
    return (EntryKind.PATCH, unit.label.group) if patch else (EntryKind.TEXT, 0)


def _first(unit: CacheEntry) -> int:
    """Return the T position of a unit's first token."""
    return int(_of(unit)[0, 0])


def _of(unit: CacheEntry) -> torch.Tensor:
    """Return a unit's positions; whatever a stream has cached has some."""
    assert unit.positions is not None
    return unit.positions
