# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a bounded memory shows of a scene, and of the scenes before it."""

from __future__ import annotations

import dataclasses

from streamvlm_ros.scenes.things import Thing


@dataclasses.dataclass(frozen=True)
class Window:
    """
    What a question sees besides the scene that runs, and what it does not see of that.

    `since`: seconds of the scene at which the window begins, 0 where it begins no later than the
    scene. `others` are the things of earlier scenes that the window shows, `gone` those that it
    does not; `light`: it shows an earlier scene that has a light; `cut`: it begins in an earlier
    scene, if only with a moment of it.
    """

    since: float = 0.0
    others: tuple[Thing, ...] = ()
    gone: tuple[Thing, ...] = ()
    light: bool = False
    cut: bool = False


WHOLE = Window()
