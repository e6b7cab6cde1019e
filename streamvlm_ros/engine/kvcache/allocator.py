# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which slots of a buffer are free: spans that are taken round and round, and given back."""

from __future__ import annotations

from collections.abc import Iterable

Spans = tuple[tuple[int, int], ...]


def count(spans: Iterable[tuple[int, int]]) -> int:
    """Return how many slots the spans (start, end) have."""
    return sum(end - start for start, end in spans)


def merge(spans: Iterable[tuple[int, int]]) -> Spans:
    """Return disjoint spans in ascending order, neighbours joined."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and merged[-1][1] == start:
            merged[-1] = merged[-1][0], end
        else:
            merged.append((start, end))
    return tuple(merged)


def complement(spans: Iterable[tuple[int, int]], slots: int) -> Spans:
    """Return the spans of all slots below ``slots`` that are in none of disjoint spans."""
    rest, end = [], 0
    for start, following in (*merge(spans), (slots, slots)):
        if end < start:
            rest.append((end, start))
        end = following
    return tuple(rest)


def cut(spans: Spans, tokens: int) -> tuple[Spans, Spans]:
    """Return the first ``tokens`` slots of the spans, in their order, and the rest."""
    first, rest = [], []
    for start, end in spans:
        middle = start + max(0, min(end - start, tokens))
        tokens -= middle - start
        if start < middle:
            first.append((start, middle))
        if middle < end:
            rest.append((middle, end))
    return tuple(first), tuple(rest)


def overlap(one: Spans, other: Iterable[tuple[int, int]]) -> bool:
    """Tell whether any slot is in both."""
    return any(start < end_ and start_ < end for start, end in one for start_, end_ in other)


class SlotAllocator:
    """The free slots of a buffer, which are taken round and round.

    A taker gets the first free slots from a place on, beginning again at 0 after the last slot.
    So a slot is taken again as late as can be, and which ones are taken depends on nothing but
    what the stream has kept.  A taker may get several spans; no hole is left because it is small.
    """

    def __init__(self, slots: int) -> None:
        """Begin with all slots free."""
        self._slots = slots
        self.free: Spans = ((0, slots),) if slots else ()

    def __len__(self) -> int:
        """Return how many slots are free."""
        return count(self.free)

    def following(self, place: int, tokens: int, besides: Spans = ()) -> Spans:
        """Return the first free slots from ``place`` on, in the order of taking, as many as asked.

        Args:
            place: where to begin.
            tokens: how many; fewer are returned where fewer are free.
            besides: slots that count as free too.

        """
        free = merge((*self.free, *besides)) if besides else self.free
        after = tuple((max(start, place), end) for start, end in free if end > place)
        before = tuple((start, min(end, place)) for start, end in free if start < place)
        return cut((*after, *before), tokens)[0]

    def take(self, spans: Spans) -> None:
        """Take free slots."""
        taken = complement(self.free, self._slots)
        self.free = complement((*taken, *spans), self._slots)

    def put(self, spans: Iterable[tuple[int, int]]) -> None:
        """Give slots back."""
        self.free = merge((*self.free, *spans))
