# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a scene shows: things and a signal light, where they are and what they look like."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

COLOURS = ('red', 'orange', 'yellow', 'green', 'cyan', 'blue', 'purple', 'white')
SHAPES = ('ball', 'box', 'cone', 'ring', 'cross')
LIGHT_COLOURS = ('red', 'yellow', 'green', 'blue')
# One moment or an array of them, in seconds since the scene's first frame.
Seconds = float | np.ndarray


@dataclasses.dataclass(frozen=True)
class Thing:
    """
    One object: what it looks like and where it is at any time.

    `times` (seconds) and `places` (centre, in frame widths, camera at rest) are the knots of a
    piecewise linear path; `radius` is in frame widths, `row` and `radius_y` in frame heights.
    """

    colour: str
    shape: str
    kind: str
    times: tuple[float, ...]
    places: tuple[float, ...]
    row: float
    radius: float
    radius_y: float

    @property
    def name(self) -> str:
        """The colour and the shape, unique in a scene."""
        return f'{self.colour} {self.shape}'

    def place(self, seconds: Seconds) -> Any:
        """Return the centre at `seconds`, in frame widths, camera at rest."""
        return np.interp(seconds, self.times, self.places)


@dataclasses.dataclass(frozen=True)
class Light:
    """The signal light: its place and, from each of `times` (seconds, first 0) on, its colour."""

    x: float
    times: tuple[float, ...]
    colours: tuple[str, ...]

    def colour(self, seconds: float) -> str:
        """Return the colour at `seconds`."""
        return self.colours[int(np.searchsorted(self.times, seconds, side='right')) - 1]
