# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the stream keeps and what goes when it gets too much: oldest temporal patches first.

The prefix stays always, and the newest kept question-answer turns.  What goes, goes whole: a
temporal patch with all its tokens, a vision segment's marks with its last patch, a turn with what
leads from it to the next.
"""

from __future__ import annotations

from collections.abc import Sequence

from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.kvcache.cache import StreamCache
from streamvlm_ros.engine.kvcache.capacity import tokens_kept
from streamvlm_ros.engine.kvcache.entries import CacheEntry, EntryInfo, EntryKind
from streamvlm_ros.engine.positions import NANOSECONDS


class EvictionPolicy:
    """Decides which units of a cache go.

    Attributes:
        cache: what it decides about.
        evicted_tokens: tokens that went since ``clear``.
        held_up: the last tokens found no room as open answers read what was to go for them, and
            any answer that is opened now would hold them up too.
        segment: number of the newest vision segment.
        turn: number of the newest kept turn.

    """

    def __init__(
        self, cache: StreamCache, seconds: float = 0.0, kept_turns: int = 8, slack: int = 8
    ) -> None:
        """Keep what fits, or of it the newest ``seconds`` where these are above 0."""
        self._slack = slack
        self.cache = cache
        self._seconds = seconds
        self._kept_turns = kept_turns
        self.clear()

    def clear(self) -> None:
        """Forget what was counted."""
        self.evicted_tokens = 0
        self.held_up = False
        self.segment = -1
        self.turn = -1

    @property
    def limit(self) -> int:
        """Tokens that are kept at most."""
        return tokens_kept(self.cache.capacity, self._slack)

    @property
    def oldest(self) -> EntryInfo | None:
        """The oldest temporal patch that is kept."""
        return next(
            (unit.label for unit in self.cache.units if unit.label.kind is EntryKind.PATCH), None
        )

    def check(self, tokens: int) -> None:
        """Refuse what would not fit even if all that may go went.

        Raises:
            StreamError: OUT_OF_MEMORY.

        """
        stays = sum(unit.tokens for unit in self.cache.units[:1])  # the prefix
        if stays + tokens > self.limit:
            raise StreamError(
                ErrorCode.OUT_OF_MEMORY,
                f'{tokens} tokens were to come and {stays} have to stay, the KV cache keeps at '
                f'most {self.limit}; raise the capacity or the memory budget, or lower '
                'max_pixels.',
            )

    def lacks(self, tokens: int) -> bool:
        """Tell whether so many tokens must wait until open answers have ended."""
        return self.cache.pinned and not self.cache.has_room(tokens, self._to_go(tokens))

    def make_room(self, tokens: int, times_ns: Sequence[int] = (), goes_on: bool = False) -> None:
        """Let go what has to for so many new tokens.

        Args:
            tokens: how many.
            times_ns: times of the temporal patches among them.
            goes_on: they belong to the vision segment that is open.

        Raises:
            StreamError: OUT_OF_MEMORY when they cannot fit; a StillReadError when they cannot
                while answers are open.  Nothing went.

        """
        self.held_up = False
        self.check(tokens)
        gone = self._to_go(tokens, times_ns, goes_on)
        if not self.cache.has_room(tokens, gone):
            self.held_up = self.cache.takes_from(tokens, gone)
            raise self.cache.still_read()
        self.let_go(gone)

    def let_go(self, units: Sequence[CacheEntry]) -> None:
        """Forget units, counted."""
        if units:
            self.evicted_tokens += sum(unit.tokens for unit in units)
            self.cache.drop(units)

    def forget_turns(self) -> None:
        """Let the oldest turns go until no more than ``kept_turns`` are left."""
        turns = sorted(
            {unit.label.group for unit in self.cache.units if unit.label.kind is EntryKind.TURN}
        )
        old = set(turns[: max(0, len(turns) - self._kept_turns)])
        if old:
            self.let_go(
                [
                    unit
                    for unit in self.cache.units
                    if unit.label.kind is EntryKind.TURN and unit.label.group in old
                ]
            )

    def _to_go(
        self,
        tokens: int,
        times_ns: Sequence[int] = (),
        goes_on: bool = False,
    ) -> list[CacheEntry]:
        """Return what has to go for so many new tokens; see ``make_room``."""
        gone = self._expired(times_ns)
        gone += self._surplus(tokens, gone)
        return gone + self.empty_marks(gone, self.segment if goes_on else None)

    def _expired(self, times_ns: Sequence[int]) -> list[CacheEntry]:
        """Return the patches whose time is over: the next one came before the window began."""
        if not self._seconds or not times_ns:
            return []
        begins = times_ns[-1] - round(self._seconds * NANOSECONDS)
        patches = [unit for unit in self.cache.units if unit.label.kind is EntryKind.PATCH]
        following = [*(unit.label.time_ns for unit in patches[1:]), times_ns[0]]
        return [unit for unit, time_ns in zip(patches, following) if time_ns <= begins]

    def _surplus(self, tokens: int, gone: Sequence[CacheEntry] = ()) -> list[CacheEntry]:
        """Return what must go besides for so many tokens: oldest patches, then oldest turns."""
        already = set(gone)
        over = self.cache.length - sum(unit.tokens for unit in gone) + tokens - self.limit
        surplus: list[CacheEntry] = []
        for kind in (EntryKind.PATCH, EntryKind.TURN):
            for unit in self.cache.units if over > 0 else ():
                if unit.label.kind is kind and unit not in already:
                    surplus.append(unit)
                    over -= unit.tokens
                    if over <= 0:
                        break
        turns = {unit.label.group for unit in surplus if unit.label.kind is EntryKind.TURN}
        if turns:
            already.update(surplus)
            surplus += [
                unit
                for unit in self.cache.units
                if unit.label.kind is EntryKind.TURN
                and unit.label.group in turns
                and unit not in already
            ]
        return surplus

    def empty_marks(self, gone: Sequence[CacheEntry], goes_on: int | None) -> list[CacheEntry]:
        """Return the marks of vision segments that have no patch left, but of one that goes on."""
        already = set(gone)
        marks: list[CacheEntry] = []
        for unit in self.cache.units:
            if unit.label.kind is EntryKind.PATCH and unit not in already:
                # The oldest patches go first: every later segment has one.
                return [mark for mark in marks if mark.label.group != unit.label.group]
            if unit.label.kind is EntryKind.MARK and unit.label.group != goes_on:
                marks.append(unit)
        return marks
