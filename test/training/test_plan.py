# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a step's clips are."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest

from training.data import ClipSpec, Packer
from training.paper import UNBOUNDED
from training.plan import LARGEST, Plan

TINY = pathlib.Path('streamvlm_ros/models/tiny')
PLAN = Plan(TINY, 'large', 1.0, 8, 12, 120, 0, 1e-3, 'cpu', begin_with=TINY)
DAYS = dataclasses.replace(PLAN, days=1.0, more=('when', 'when'))


@pytest.fixture(scope='module')
def packer() -> Packer:
    return Packer(TINY)


def test_a_piece_of_a_day_is_scenes_as_long_as_the_memory() -> None:
    steps = [DAYS.specs(step, 0.5) for step in range(40)]
    specs = [spec for step in steps for spec in step]
    assert all(len({(spec.frames, spec.grid) for spec in step}) == 1 for step in steps)
    for spec in specs:
        last = (spec.frames - spec.cuts[-1]) / spec.rate
        assert spec.memory.seconds == last and last <= 40.0 and spec.pause == spec.gap == 0.0
        assert all(cut % 2 == 0 and cut >= 8 for cut in spec.cuts)
        # Only a stream in continuous mode is put on paper with positions counted anew.
        assert not spec.append or spec.memory.largest == UNBOUNDED
        assert spec.memory.largest == UNBOUNDED or spec.memory.largest <= LARGEST
    # The day's own: three scenes of half a minute at four frames per second.
    assert any(spec.rate == 4.0 and 0.9 * 30.0 < spec.memory.seconds <= 30.0 for spec in specs)
    assert {len(spec.cuts) for spec in specs} == {1, 2}


def test_without_days_the_draws_are_those_of_a_plan_that_knows_of_none() -> None:
    before = dataclasses.replace(PLAN, reels=0.7)
    for step in range(10):
        assert [
            dataclasses.replace(spec, more=())
            for spec in dataclasses.replace(before, more=('when',)).specs(step, 0.5)
        ] == before.specs(step, 0.5)


def test_families_are_asked_about_more_and_scenes_at_their_ends(packer: Packer) -> None:
    spec = ClipSpec(3, 96, 4.0, (4, 3), False, 4, 22, cuts=(48,), moments=4)

    def share(spec: ClipSpec) -> float:
        branches = packer.pack(spec).branches
        return sum(b.question.family == 'when' for b in branches) / len(branches)

    more = dataclasses.replace(spec, more=('when', 'when'))
    seeds = range(6)
    plain, often = (
        sum(share(dataclasses.replace(s, seed=i)) for i in seeds) for s in (spec, more)
    )
    assert often > 1.3 * plain
    trunk = packer.trunk(spec, packer.pack(spec).stamps_ns)
    end = next(stop.when for stop in trunk.stops if 2 * stop.patches == 48)
    clip = packer.pack(spec)
    assert any(clip.when[branch.spans[0][0]] == end for branch in clip.branches)
