# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Re-basing: the positions of what is kept, as if what was evicted had never been there.

Positions of an endless stream would grow without end, and with them the distance to what stays.
So from time to time the gaps that eviction left are closed, and the kept keys rotated to match.
The model's position rule plans by how much each entry moves; this module carries the plan out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import dataclasses

import torch

from streamvlm_ros.engine.kvcache.entries import CacheEntry, EntryKind
from streamvlm_ros.engine.kvcache.eviction import EvictionPolicy
from streamvlm_ros.engine.ops.rotary import MRope
from streamvlm_ros.engine.positions import StreamState

# Tokens that are rotated at once; few, to need little memory.
BLOCK = 4096


@dataclasses.dataclass(frozen=True)
class Move:
    """Positions that are to be subtracted from an entry's: on the T axis, and on H and W."""

    entry: CacheEntry
    t: int
    hw: int

    @property
    def positions(self) -> torch.Tensor:
        """The entry's new positions, int64 [3, n]."""
        return places(self.entry) - torch.tensor([[self.t], [self.hw], [self.hw]])


# How every entry moves, and the position state afterwards; see ``PositionRule.rebase_plan``.
RebasePlan = Callable[
    [Sequence[CacheEntry], StreamState],
    tuple[list[Move], StreamState],
]


def apply(
    memory: EvictionPolicy,
    state: StreamState,
    plan: RebasePlan,
    rotation: MRope,
    largest: int,
) -> StreamState:
    """Re-base what is kept.  No reader may have the cache pinned.

    Patches that would still be more than three quarters of ``largest`` back are evicted first.  So
    no distance exceeds ``largest``, even if the kept patches are far apart in time, and re-basing
    is rare.

    Args:
        memory: what is kept; its cache's keys are rotated in place, values carry no position.
        state: the position state after what is cached.
        plan: the model's plan, by how much every entry moves.
        rotation: what the keys were rotated by.
        largest: largest position of the stream.

    Returns:
        The position state from now on.

    """
    cache = memory.cache
    assert not cache.pinned
    moves, following = plan(cache.entries, state)
    reach = following.last_cache_position - largest * 3 // 4
    far = [
        move.entry
        for move in moves
        if move.entry.info.kind is EntryKind.PATCH and first_place(move.entry) - move.t < reach
    ]
    if far:
        memory.evict([*far, *memory.empty_marks(far, memory.segment)])
        state = dataclasses.replace(state, length=cache.length)
        moves, following = plan(cache.entries, state)
    for (start, end), old, new in _blocks([move for move in moves if move.t or move.hw]):
        rotate = rotation.rerotate(old, new)
        for keys in cache.keys:
            rotate(keys[:, start:end])
    for move in moves:
        move.entry.positions = move.positions
    cache.rebased += following != state
    return following


def _blocks(moves: Sequence[Move]) -> list[tuple[tuple[int, int], torch.Tensor, torch.Tensor]]:
    """Return contiguous slots with old and new positions; what moves alike is joined."""
    pieces = []
    for move in moves:
        old, new, start = places(move.entry), move.positions, 0
        for first, end in move.entry.spans:
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


def first_place(entry: CacheEntry) -> int:
    """Return the T position of an entry's first token."""
    return int(places(entry)[0, 0])


def places(entry: CacheEntry) -> torch.Tensor:
    """Return an entry's positions, int64 [3, n]; whatever a stream has cached has some."""
    assert entry.positions is not None
    return entry.positions
