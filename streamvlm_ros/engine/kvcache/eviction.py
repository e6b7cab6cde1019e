# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is evicted when the cache gets full: the oldest temporal patches first.

The prefix always stays, and so do the newest kept question-answer turns.  Entries are evicted
whole: a temporal patch with all its tokens, the marks of a vision segment with its last patch, a
turn with what leads from it to the next.

That the oldest patches go first is also what these rely on: `EvictionPolicy.empty_marks` (every
later segment still has a patch), `FrameStream.frames_held` (what is kept has no holes), the few
segments that attention reads on a GPU (`metadata.SEGMENTS`), and `training/paper.py`.
`kvcache/rebase.py` drops patches that are too far back in position, with room or without.
"""

from __future__ import annotations

from collections.abc import Sequence

from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.kvcache.cache import StreamCache
from streamvlm_ros.engine.kvcache.capacity import tokens_kept
from streamvlm_ros.engine.kvcache.entries import CacheEntry, EntryKind
from streamvlm_ros.stamps import NANOSECONDS


class EvictionPolicy:
    """Decides which entries of a cache are evicted.

    Attributes:
        cache: what it decides about.
        limit: tokens that are kept at most.
        evicted_tokens: tokens evicted since ``clear``.
        held_up: the last chunk has to wait because open answers still read the slots that it
            needs. An answer that is opened now would make it wait longer.
        segment: number of the newest vision segment.
        turn: number of the newest kept turn.

    """

    def __init__(
        self, cache: StreamCache, seconds: float = 0.0, kept_turns: int = 8, slack: int = 8
    ) -> None:
        """Keep what fits; where ``seconds`` is above 0, only the newest seconds of it."""
        self.cache = cache
        self.limit = tokens_kept(cache.capacity, slack)
        self._seconds = seconds
        self._kept_turns = kept_turns
        self.clear()

    def clear(self) -> None:
        """Begin again with an empty cache."""
        self.evicted_tokens = 0
        self.held_up = False
        self.segment = -1
        self.turn = -1

    def check(self, tokens: int) -> None:
        """Refuse tokens that would not fit even if everything that may be evicted were.

        Raises:
            StreamError: OUT_OF_MEMORY.

        """
        stays = sum(entry.tokens for entry in self.cache.entries[:1])  # the prefix
        if stays + tokens > self.limit:
            raise StreamError(
                ErrorCode.OUT_OF_MEMORY,
                f'{tokens} tokens were to come and {stays} have to stay, the KV cache keeps at '
                f'most {self.limit}; raise the capacity or the memory budget, or lower '
                'max_pixels.',
            )

    def must_wait(self, tokens: int) -> bool:
        """Tell whether ``tokens`` more tokens must wait until open answers have ended."""
        return self.cache.pinned and not self.cache.has_room(tokens, self._to_go(tokens))

    def make_room(self, tokens: int, times_ns: Sequence[int] = (), goes_on: bool = False) -> None:
        """Evict what has to be evicted for ``tokens`` new tokens.

        Args:
            tokens: how many.
            times_ns: times of the temporal patches among them.
            goes_on: they belong to the vision segment that is open.

        Raises:
            StreamError: OUT_OF_MEMORY when they cannot fit; a StillReadError when they cannot
                while answers are open.  Nothing was evicted.

        """
        self.held_up = False
        self.check(tokens)
        gone = self._to_go(tokens, times_ns, goes_on)
        if not self.cache.has_room(tokens, gone):
            self.held_up = self.cache.takes_from(tokens, gone)
            raise self.cache.still_read()
        self.evict(gone)

    def evict(self, entries: Sequence[CacheEntry]) -> None:
        """Drop entries from the cache, and count their tokens."""
        if entries:
            self.evicted_tokens += sum(entry.tokens for entry in entries)
            self.cache.drop(entries)

    def drop_turns(self) -> None:
        """Evict the oldest turns until no more than ``kept_turns`` are left."""
        turns = sorted(
            {entry.info.group for entry in self.cache.entries if entry.info.kind is EntryKind.TURN}
        )
        old = set(turns[: max(0, len(turns) - self._kept_turns)])
        if old:
            self.evict(
                [
                    entry
                    for entry in self.cache.entries
                    if entry.info.kind is EntryKind.TURN and entry.info.group in old
                ]
            )

    def _to_go(
        self,
        tokens: int,
        times_ns: Sequence[int] = (),
        goes_on: bool = False,
    ) -> list[CacheEntry]:
        """Return what has to be evicted for ``tokens`` new tokens; see ``make_room``."""
        gone = self._expired(times_ns)
        gone += self._surplus(tokens, gone)
        return gone + self.empty_marks(gone, self.segment if goes_on else None)

    def _expired(self, times_ns: Sequence[int]) -> list[CacheEntry]:
        """Return patches that are too old: the next one came before the window began."""
        if not self._seconds or not times_ns:
            return []
        begins = times_ns[-1] - round(self._seconds * NANOSECONDS)
        patches = [entry for entry in self.cache.entries if entry.info.kind is EntryKind.PATCH]
        following = [*(entry.info.time_ns for entry in patches[1:]), times_ns[0]]
        return [entry for entry, time_ns in zip(patches, following) if time_ns <= begins]

    def _surplus(self, tokens: int, gone: Sequence[CacheEntry] = ()) -> list[CacheEntry]:
        """Return what else must be evicted for ``tokens`` tokens: oldest patches, then turns."""
        already = set(gone)
        over = self.cache.length - sum(entry.tokens for entry in gone) + tokens - self.limit
        surplus: list[CacheEntry] = []
        for kind in (EntryKind.PATCH, EntryKind.TURN):
            for entry in self.cache.entries if over > 0 else ():
                if entry.info.kind is kind and entry not in already:
                    surplus.append(entry)
                    over -= entry.tokens
                    if over <= 0:
                        break
        turns = {entry.info.group for entry in surplus if entry.info.kind is EntryKind.TURN}
        if turns:
            already.update(surplus)
            surplus += [
                entry
                for entry in self.cache.entries
                if entry.info.kind is EntryKind.TURN
                and entry.info.group in turns
                and entry not in already
            ]
        return surplus

    def empty_marks(self, gone: Sequence[CacheEntry], goes_on: int | None) -> list[CacheEntry]:
        """Return the marks of vision segments without a patch, except of segment ``goes_on``."""
        already = set(gone)
        marks: list[CacheEntry] = []
        for entry in self.cache.entries:
            if entry.info.kind is EntryKind.PATCH and entry not in already:
                # The oldest patches are evicted first, so every later segment has one.
                return [mark for mark in marks if mark.info.group != entry.info.group]
            if entry.info.kind is EntryKind.MARK and entry.info.group != goes_on:
                marks.append(entry)
        return marks
