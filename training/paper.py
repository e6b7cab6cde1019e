# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Chunks laid out for training: tokens, positions and evictions, by the engine's own bookkeeping.

A packed clip is run in one pass, so every key has one position. When the engine counts positions
anew, it moves T of all kept patches back by the same amount. Here the patches stay, and later
tokens see a copy of the prefix that is moved forward by that amount. Rotary attention sees only
distances, so both are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import math

import numpy as np
import torch

from streamvlm_ros.engine.config import StreamSettings
from streamvlm_ros.engine.kvcache.cache import StreamCache
from streamvlm_ros.engine.kvcache.capacity import slots_to_keep
from streamvlm_ros.engine.kvcache.eviction import EvictionPolicy
from streamvlm_ros.engine.kvcache.rebase import apply
from streamvlm_ros.engine.models.position_rule import PositionRule
from streamvlm_ros.engine.models.prompt import Place, Prompt
from streamvlm_ros.engine.ops.rotary import MRope
from streamvlm_ros.engine.positions import Grid, StreamState, VideoSpan
from streamvlm_ros.engine.stream.chunks import chunk_labels, ChunkLayout, PartLayout
from streamvlm_ros.engine.stream.frames import Frame

# More than any clip has.
ENDLESS = 1 << 13
NEVER = 1 << 30
# Positions are not counted anew.
UNBOUNDED = 1 << 30
_NO_IMAGE = np.zeros((1, 1, 3), np.uint8)


@dataclasses.dataclass(frozen=True)
class Memory:
    """
    How much a stream keeps, as in the engine's settings; by default everything.

    `largest` is the largest allowed position; it is possible only in continuous mode, where all
    patches move by the same amount.
    """

    seconds: float = 0.0
    tokens: int = 0
    largest: int = UNBOUNDED

    @property
    def evicts(self) -> bool:
        """Whether anything is ever evicted."""
        return self != ENDLESS_MEMORY


ENDLESS_MEMORY = Memory()


@dataclasses.dataclass(frozen=True)
class Stop:
    """
    Where a question can be asked.

    It is after `patches` temporal patches, of which those from `oldest` on are kept; `when` is
    the time on the trunk's clock, `moved` how much larger T is on paper than in `state`.
    """

    patches: int
    oldest: int
    state: StreamState
    place: Place
    when: int
    moved: int


class Trunk:
    """
    Prefix and chunks of a stream that keeps what its memory allows.

    A token is seen by later tokens from its time `when` on, until it is `gone`.
    """

    def __init__(self, prompt: Prompt, rule: PositionRule, memory: Memory) -> None:
        """Begin empty."""
        self._prompt, self._rule, self._largest = prompt, rule, memory.largest
        slots = slots_to_keep(memory.tokens, StreamSettings.slack) if memory.tokens else ENDLESS
        self._cache = StreamCache(1, 2, slots, torch.float32, [torch.device('cpu')])
        self._memory = EvictionPolicy(self._cache, memory.seconds)
        self._rotation = MRope(torch.ones(1), torch.tensor([0]))
        self._clock, self._began = 0, 0
        self._state, self._place = StreamState(), Place.NOTHING
        self._copies = 0  # tokens of the prefix' copies, which lead
        self._prefix = slice(0)  # where the present prefix is
        self.ids: list[int] = []
        self.positions = torch.empty(3, 0, dtype=torch.long)
        self.when: list[int] = []
        self.gone: list[int] = []
        self.stops: list[Stop] = []

    def prefill(
        self,
        times_ns: Sequence[int],
        rows: int,
        columns: int,
        append: bool,
        waits: bool = False,
        ends_ns: Sequence[int] = (),
    ) -> None:
        """
        Take a chunk of temporal patches.

        `times_ns` are those of their first frames, `ends_ns` of their last ones, for a family that
        writes times. A chunk that `waits` until it is full is in a question's branch only: nothing
        is evicted for it, and nothing can come after it.
        """
        if not waits and self._state.last_cache_position > self._largest:
            self._count_anew()
        prompt, place = self._prompt, self._place
        first = self.stops[-1].patches if self.stops else 0
        self._began = self._began if self.stops else times_ns[0]
        parts = self._parts(times_ns, ends_ns, rows, columns, append)
        ids = [
            each
            for part in parts
            for each in (*part.before, *[prompt.pad] * math.prod(part.grid), *part.after)
        ]
        left = list(times_ns)
        spans = [
            VideoSpan(part.grid, tuple(left.pop(0) for _ in range(part.grid.t))) for part in parts
        ]
        opening = parts[0].before
        frames = [Frame(_NO_IMAGE, t, t, number=first + i) for i, t in enumerate(times_ns)]
        layout = ChunkLayout(parts, place)
        labels = chunk_labels(self._memory, prompt, place, layout, frames)
        self._clock += 1
        if not waits:
            before = self._cache.entries
            self._memory.make_room(len(ids), times_ns, goes_on=not opening)
            self._note_gone(before)
            self._state = dataclasses.replace(self._state, length=self._cache.length)
        positions, self._state = self._rule.place(self._state, ids, spans)
        if not waits:
            self._cache.reserve(len(ids))
            self._cache.advance(len(ids))
            self._cache.label(labels, positions, ids)
            self._memory.segment += sum(bool(part.before) for part in parts)
        self._place = Place.USER_TURN if parts[-1].after else Place.VIDEO
        if not self.ids:
            self._prefix = slice(0, prompt.prefix_tokens)
        self.ids += ids
        self.positions = torch.cat([self.positions, self._on_paper(positions)], dim=1)
        self.when += [self._clock] * len(ids)
        self.gone += [NEVER] * len(ids)
        if not waits and self._state.last_cache_position > self._largest * 4 // 3:
            self._count_anew()
        oldest = self._cache.oldest_patch
        self.stops.append(
            Stop(
                first + len(times_ns),
                oldest.frame if oldest else first,
                self._state,
                self._place,
                self._clock,
                self._moved,
            )
        )

    def _parts(
        self,
        times_ns: Sequence[int],
        ends_ns: Sequence[int],
        rows: int,
        columns: int,
        append: bool,
    ) -> list[PartLayout]:
        """Return the vision segments of a chunk, or what it adds to the open one."""
        prompt, place = self._prompt, self._place
        closing = prompt.close_segment()
        if not prompt.each_patch_opens:
            opening = prompt.open_segment(place) if append or place is not Place.VIDEO else []
            grid = Grid(len(times_ns), rows, columns)
            return [PartLayout(opening, grid, closing if append else [])]
        parts = []
        for pair in zip(times_ns, ends_ns, strict=True):
            opening = prompt.open_segment(place, [each - self._began for each in pair])
            parts.append(PartLayout(opening, Grid(1, rows, columns), closing))
            place = Place.USER_TURN
        return parts

    def branch(self, stop: Stop, ids: Sequence[int]) -> torch.Tensor:
        """Return the positions of tokens after a stop."""
        return self._on_paper(self._rule.place(stop.state, ids)[0], stop.moved)

    @property
    def _moved(self) -> int:
        return self._state.segment.rebased if self._state.segment else 0

    def _on_paper(self, positions: torch.Tensor, moved: int | None = None) -> torch.Tensor:
        return positions + torch.tensor([[self._moved if moved is None else moved], [0], [0]])

    def _note_gone(self, before: Sequence) -> None:
        for entry in set(before) - set(self._cache.entries):
            start = self._copies + entry.first
            self.gone[start : start + entry.tokens] = [self._clock] * entry.tokens

    def _count_anew(self) -> None:
        """Count positions anew, as the engine does."""
        self._clock += 1
        before, moved = self._cache.entries, self._moved
        self._state = apply(
            self._memory, self._state, self._rule.rebase_plan, self._rotation, self._largest
        )
        self._note_gone(before)
        if self._moved == moved:
            return
        old, tokens = self._prefix, self._cache.entries[0].tokens
        copy = self.positions[:, old] + torch.tensor([[self._moved - moved], [0], [0]])
        self.gone[old] = [self._clock] * tokens
        # In front, so that it sees nothing but itself.
        self.ids = self.ids[old] + self.ids
        self.positions = torch.cat([copy, self.positions], dim=1)
        self.when = [self._clock] * tokens + self.when
        self.gone = [NEVER] * tokens + self.gone
        self._copies += tokens
        self._prefix = slice(0, tokens)
