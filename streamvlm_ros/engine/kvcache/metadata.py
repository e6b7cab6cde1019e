# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Attention metadata: integers, in the layout that ``ops/kernels/attention/segments.py`` reads."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses

from streamvlm_ros.engine.kvcache.allocator import count, Spans
from streamvlm_ros.engine.kvcache.buffer import KVBuffer
from streamvlm_ros.engine.ops.attention import Tree

# Contiguous pieces that one branch or stream can see; there are rarely more than three.
SEGMENTS = 32
HEAD = 4
LINE = HEAD + 4 * SEGMENTS

Seen = tuple[KVBuffer, Spans]


@dataclasses.dataclass(frozen=True)
class SequenceMetadata:
    """What one sequence's new tokens see, and where their keys and values go.

    Attributes:
        line: for ``attend_sequence``; the number of new tokens is filled in when they are padded.
        target: address and slots of the buffer that takes them.
        slots: where in it, one for each token.
        tree: which of them each one sees; None: causal.

    """

    line: list[int]
    target: tuple[int, int]
    slots: list[int]
    tree: Tree | None

    @classmethod
    def of(
        cls, seen: Sequence[Seen], target: KVBuffer, slots: Spans, tree: Tree | None = None
    ) -> SequenceMetadata | None:
        """Make it; None if kernels cannot use it: several devices, or too many pieces."""
        if target.whole is None:
            return None
        segments = _segments(seen)
        if len(segments) > SEGMENTS:
            return None
        places = [slot for start, end in slots for slot in range(start, end)]
        return cls(_line(segments, len(places), 0), target.address, places, tree)


@dataclasses.dataclass(frozen=True)
class BatchMetadata:
    """What branches with one new token each see, and where its keys and values go.

    Attributes:
        prefixes: for ``attend_batch``, one for each prefix, with its members.
        members: of every prefix, the branches.
        tails: address, slots and length of every branch's tail, without the new token.

    """

    prefixes: list[list[int]]
    members: list[list[int]]
    tails: list[tuple[int, int, int]]

    @classmethod
    def of(
        cls,
        groups: Sequence[tuple[Sequence[Seen], Sequence[int]]],
        tails: Sequence[tuple[KVBuffer, int]],
    ) -> BatchMetadata | None:
        """Make it; None if kernels cannot use it.

        Args:
            groups: what some branches see besides their tails, and which branches these are.
            tails: of all branches, and how many tokens are in each.

        """
        if any(buffer.whole is None for buffer, _ in tails):
            return None
        pieces = [_segments(seen) for seen, _ in groups]
        if any(len(each) > SEGMENTS for each in pieces):
            return None
        first = 0
        prefixes = []
        for each, (_, members) in zip(pieces, groups):
            prefixes.append(_line(each, first, len(members)))
            first += len(members)
        return cls(
            prefixes,
            [list(members) for _, members in groups],
            [(*buffer.address, length) for buffer, length in tails],
        )

    def rows(self, batch: int) -> tuple[list[list[int]], list[int]]:
        """Return the lines and the order of ``attend_batch`` for ``batch`` rows.

        Rows after those of the branches are padding: they see nothing.
        """
        none = [0] * LINE
        tails = [
            _line([(address, slots, 0, length + 1)], batch + index, 1)
            for index, (address, slots, length) in enumerate(self.tails)
        ]
        lines = [
            *self.prefixes,
            *[none] * (batch - len(self.prefixes)),
            *tails,
            *[none] * (batch - len(tails)),
        ]
        order = [branch for members in self.members for branch in members]
        padding = [0] * (batch - len(order))
        return lines, [*order, *padding, *range(len(tails)), *padding]


def _segments(seen: Sequence[Seen]) -> list[tuple[int, int, int, int]]:
    return [
        (*buffer.address, start, end)
        for buffer, spans in seen
        if count(spans)
        for start, end in spans
        if start < end
    ]


def _line(segments: Sequence[tuple[int, int, int, int]], third: int, fourth: int) -> list[int]:
    """Return a table's line: segments, tokens in them, two more numbers, and the segments."""
    tokens = sum(end - start for _, _, start, end in segments)
    flat = [number for segment in segments for number in segment]
    return [len(segments), tokens, third, fourth, *flat, *[0] * (LINE - HEAD - len(flat))]
