# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The entries of a cache: tokens that are kept or dropped together."""

from __future__ import annotations

import dataclasses
import enum

import torch

from streamvlm_ros.engine.kvcache.allocator import Spans


class EntryKind(enum.Enum):
    """What an entry is."""

    TEXT = enum.auto()  # not labelled yet
    PREFIX = enum.auto()  # the system turn, up to the first vision segment
    MARK = enum.auto()  # opens or closes a vision segment
    PATCH = enum.auto()  # a temporal patch
    TURN = enum.auto()  # part of a kept question and answer


@dataclasses.dataclass(frozen=True)
class EntryInfo:
    """What an entry is.

    Attributes:
        kind: what it is.
        group: number of its vision segment (MARK, PATCH) or of its turn (TURN).
        time_ns: a patch's time in the video. For the prefix, if the family writes times as text:
            the time of the stream's first patch; the written times count from it.
        stamp_ns: the stamp of a patch's first frame.
        frame: number of a patch's first frame, counted from the stream's first.

    """

    kind: EntryKind = EntryKind.TEXT
    group: int = 0
    time_ns: int = 0
    stamp_ns: int = 0
    frame: int = 0


@dataclasses.dataclass(eq=False)
class CacheEntry:
    """Tokens that are kept or dropped together.

    Attributes:
        spans: their slots, in the tokens' order.
        tokens: how many they are, as many as slots.
        born: the cache's clock when they came.
        first: number of the first token, counted from the first one that the cache ever took.
        info: what the tokens are.
        positions: int64 [3, tokens], on the CPU; None: not known yet.
        ids: the different token ids that it has; empty: not known yet.

    """

    spans: Spans
    tokens: int
    born: int
    first: int
    info: EntryInfo = EntryInfo()
    positions: torch.Tensor | None = None
    ids: frozenset[int] = frozenset()
