# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The position rule, held to the table of docs/design/positions.md and to the historic defects."""

from __future__ import annotations

import math
from typing import Any

import pytest

from streamvlm_ros.engine.models.position_rule import PositionRule
from streamvlm_ros.engine.models.qwen2_5_vl.positions import SecondsTime, video_steps
from streamvlm_ros.engine.models.qwen2_5_vl.rebase import rebase_plan
from streamvlm_ros.engine.positions import Grid, StreamState, VideoSpan

PAD, TEXT = 9, 1
SECOND = 10**9
RULE = PositionRule(PAD, SecondsTime(2), rebase_plan)
PREFIX = [TEXT] * 4


def chunk(*seconds: float, h: int = 4, w: int = 4) -> tuple[list[int], VideoSpan]:
    """Return a chunk's pads and part."""
    grid = Grid(len(seconds), h, w)
    return [PAD] * math.prod(grid), VideoSpan(grid, tuple(round(s * SECOND) for s in seconds))


def axes(positions: Any):
    """Return the distinct values on T, H and W."""
    return [sorted(set(axis.tolist())) for axis in positions]


def test_continuous_table() -> None:
    """The worked example, continuous column."""
    _, state = RULE.place(StreamState(), PREFIX)
    ids, part = chunk(0, 1)
    positions, state = RULE.place(state, ids, [part])
    assert axes(positions) == [[4, 6], [4, 5, 6, 7], [4, 5, 6, 7]]
    ids, part = chunk(2, 3)
    positions, state = RULE.place(state, ids, [part])
    assert axes(positions) == [[8, 10], [4, 5, 6, 7], [4, 5, 6, 7]]
    positions, state = RULE.place(state, [TEXT])
    assert positions.tolist() == [[11], [11], [11]]


def test_append_table() -> None:
    """The worked example, append column: every chunk ends its own segment."""
    _, state = RULE.place(StreamState(), PREFIX)
    ids, part = chunk(0, 1)
    positions, state = RULE.place(state, [*ids, TEXT], [part])
    assert axes(positions[:, :-1]) == [[4, 6], [4, 5, 6, 7], [4, 5, 6, 7]]
    assert positions[:, -1].tolist() == [8, 8, 8]
    ids, part = chunk(2, 3)
    positions, state = RULE.place(state, [TEXT, *ids, TEXT], [part])
    assert positions[:, 0].tolist() == [9, 9, 9]
    assert axes(positions[:, 1:-1]) == [[10, 12], [10, 11, 12, 13], [10, 11, 12, 13]]
    assert positions[:, -1].tolist() == [14, 14, 14]
    assert RULE.place(state, [TEXT])[0].tolist() == [[15], [15], [15]]


def test_text_starts_behind_all_three_axes() -> None:
    """Six temporal patches in 4x4: text at 15, where transformers 5 says 8."""
    _, state = RULE.place(StreamState(), PREFIX)
    ids, part = chunk(0, 1, 2, 3, 4, 5)
    positions, _ = RULE.place(state, [*ids, TEXT], [part])
    assert positions[:, -1].tolist() == [15, 15, 15]


def test_last_position_is_not_the_t_axis_alone() -> None:
    """Historic defect 1: a short, wide clip reaches further in W than in T."""
    ids, part = chunk(0, h=2, w=7)
    _, state = RULE.place(StreamState(), [*PREFIX, *ids], [part])
    assert state.last_cache_position == 10
    assert RULE.place(state, [TEXT, TEXT])[0][0].tolist() == [11, 12]


def test_decode_is_the_next_position_on_every_axis() -> None:
    """Branch 3."""
    state = StreamState(length=7, last_cache_position=20)
    positions, state = RULE.place(state, [TEXT])
    assert positions.tolist() == [[21]] * 3
    assert state == StreamState(8, 21)
    assert state.rope_deltas == 14


def test_chunking_does_not_matter() -> None:
    """One prefill of all, or one for each temporal patch: the same positions."""
    seconds = (0, 0.4, 1.7, 9.0)
    ids, part = chunk(*seconds, h=2, w=3)
    whole, end = RULE.place(StreamState(), [*PREFIX, *ids], [part])
    _, state = RULE.place(StreamState(), PREFIX)
    cut = []
    for second in seconds:
        ids, part = chunk(second, h=2, w=3)
        positions, state = RULE.place(state, ids, [part])
        cut.extend(positions.T.tolist())
    assert whole.T.tolist()[4:] == cut
    assert state == end


@pytest.mark.parametrize(
    'elapsed, rate, steps',
    [
        (499_999_999, 2, 0),
        (500_000_000, 2, 1),
        (3 * SECOND, 2, 6),
        (250_000_000, 4, 1),
        (SECOND, 0.5, 0),
        (2 * SECOND, 0.5, 1),
        (86_400 * SECOND, 2, 172_800),
    ],
)
def test_steps_are_exact(elapsed: Any, rate: float, steps: int) -> None:
    """Integers decide, to the nanosecond."""
    assert video_steps(elapsed, rate) == steps


def test_bad_grids_are_refused() -> None:
    """What does not fit is refused with a sentence, not placed somewhere."""
    ids, part = chunk(0, 1)
    with pytest.raises(ValueError, match='without a grid'):
        RULE.place(StreamState(), ids)
    with pytest.raises(ValueError, match='fewer video tokens'):
        RULE.place(StreamState(), ids[:-1], [part])
    with pytest.raises(ValueError, match='no video tokens'):
        RULE.place(StreamState(), PREFIX, [part])
    with pytest.raises(ValueError, match='as many times'):
        RULE.place(StreamState(), ids, [VideoSpan(part.grid, (0,))])
    _, state = RULE.place(StreamState(), ids, [part])
    with pytest.raises(ValueError, match='backwards'):
        RULE.place(state, *(lambda c: (c[0], [c[1]]))(chunk(0.5)))
    with pytest.raises(ValueError, match='close it'):
        RULE.place(state, *(lambda c: (c[0], [c[1]]))(chunk(2, h=2)))
