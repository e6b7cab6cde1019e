# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What has happened in a scene up to a moment: who was seen, who came and who went."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from streamvlm_ros.scenes.scene import Scene
from streamvlm_ros.scenes.things import Thing

# A thing or a light colour counts as seen after this long; at 2 fps that is two frames.
SEEN_S = 1.0
# What is asked about 'now' has been so for this long: the newest frame may be that old.
STEADY_S = 0.8
STEP_S = 0.1


# How long ago something was: the answers, and where each ends and the next begins (seconds).
AGES = ('less than 4 seconds', '4 to 8 seconds', 'more than 8 seconds')
AGE_BOUNDS = (4.0, 8.0)
AGE_MARGIN_S = 0.9


def age(seconds: float) -> int | None:
    """Return which of `AGES` an age in seconds is; None so near a bound that it is arguable."""
    if any(abs(seconds - bound) < AGE_MARGIN_S for bound in AGE_BOUNDS):
        return None
    return sum(seconds > bound for bound in AGE_BOUNDS)


@dataclasses.dataclass(frozen=True)
class History:
    """
    What one thing has been up to until now.

    `status` is seen, unseen or unclear; `now` is in, out or unclear; `entered` and `left` are
    seconds; `recent`: some of it was to be seen within the last two seconds.
    """

    thing: Thing
    status: str
    now: str
    entered: tuple[float, ...]
    left: tuple[float, ...]
    recent: bool


class Chronicle:
    """A scene sampled every `STEP_S` seconds, to tell any moment's history from."""

    def __init__(self, scene: Scene) -> None:
        """Sample the whole scene."""
        self._things = scene.things
        self._times = np.arange(0.0, scene.seconds + STEP_S, STEP_S)
        self._part = [scene.visible_part(t, self._times) for t in scene.things]
        self._events = [self._enter_and_leave(part) for part in self._part]

    @staticmethod
    def _enter_and_leave(part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the samples at which a thing had come in, and had gone."""
        known = (part >= 0.6) | (part <= 0.0)
        last_known = np.maximum.accumulate(np.where(known, np.arange(len(part)), 0))
        inside = (part >= 0.6)[last_known].astype(np.int8)
        change = np.diff(inside, prepend=inside[0])
        return np.flatnonzero(change > 0), np.flatnonzero(change < 0)

    def at(self, seconds: float, since: float = 0.0) -> list[History]:
        """Return every thing's history up to `seconds`, of what was seen from `since` on."""
        end = min(len(self._times), int(seconds / STEP_S + 1e-6) + 1)
        begin = min(end - 1, math.ceil(since / STEP_S - 1e-6))
        times = self._times[begin:end]
        steady, late = times >= seconds - STEADY_S, times > seconds - 2.0
        result = []
        for thing, whole, (came, went) in zip(self._things, self._part, self._events):
            part = whole[begin:end]
            inside, outside = part >= 0.6, part <= 0.0
            now = 'in' if inside[steady].all() else 'out' if outside[steady].all() else 'unclear'
            status = (
                'seen'
                if float(inside.sum()) * STEP_S >= SEEN_S
                else 'unseen'
                if outside.all()
                else 'unclear'
            )
            came, went = (self._times[e[(e >= begin) & (e < end)]] for e in (came, went))
            result.append(
                History(
                    thing,
                    status,
                    now,
                    tuple(came.tolist()),
                    tuple(went.tolist()),
                    bool((part[late] > 0.0).any()),
                )
            )
        return result
