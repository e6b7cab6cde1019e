# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which places of a buffer are free: spans that are taken lowest first and given back."""

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
    """Return the first so many slots of the spans, in their order, and the rest."""
    first, rest = [], []
    for start, end in spans:
        middle = start + max(0, min(end - start, tokens))
        tokens -= middle - start
        if start < middle:
            first.append((start, middle))
        if middle < end:
            rest.append((middle, end))
    return tuple(first), tuple(rest)


class SlotPool:
    """The free slots of a buffer.

    The lowest are taken first and a taker may get several spans, so that no hole is left behind
    because it is small, and what is taken stays in few spans.
    """

    def __init__(self, slots: int) -> None:
        """Begin with all of them free."""
        self.slots = slots
        self.free: Spans = ((0, slots),) if slots else ()

    def __len__(self) -> int:
        """Return how many slots are free."""
        return count(self.free)

    def lowest(self, tokens: int) -> Spans:
        """Return the lowest free slots without taking them; there must be as many."""
        return cut(self.free, tokens)[0]

    def take(self, tokens: int) -> Spans:
        """Take the lowest free slots; there must be as many."""
        taken, self.free = cut(self.free, tokens)
        return taken

    def put(self, spans: Spans) -> None:
        """Give slots back."""
        self.free = merge((*self.free, *spans))
