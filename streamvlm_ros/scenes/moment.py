# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a question can be about at one moment of a scene, and how one is put together."""

from __future__ import annotations

import dataclasses

import numpy as np

from streamvlm_ros.scenes.history import Chronicle, History, SEEN_S
from streamvlm_ros.scenes.phrases import PHRASES
from streamvlm_ros.scenes.scene import Scene
from streamvlm_ros.scenes.things import COLOURS, SHAPES, Thing
from streamvlm_ros.scenes.window import Window

REFUSAL = "I can't tell from what I have seen."


@dataclasses.dataclass(frozen=True)
class Question:
    """
    A question with its truth.

    `choices` contains the answer. `past`: the last two seconds alone do not settle it.
    """

    family: str
    text: str
    choices: tuple[str, ...]
    answer: str
    past: bool = False


class Moment:
    """A scene up to one moment, as far as a window shows it, and what is asked then."""

    def __init__(self, scene: Scene, at: float, chronicle: Chronicle, window: Window) -> None:
        """Look at the scene up to `at` seconds."""
        self.scene, self.at, self.window = scene, at, window
        self.rng = np.random.default_rng((scene.seed, int(at * 1000), 11))
        self.all = chronicle.at(at, window.since)
        self.elsewhere = {thing.name for thing in window.others}
        # Whether what happened before this moment is in the window is arguable.
        self.since = window.since + SEEN_S if window.since > 0.0 else 0.0
        self.seen = [h for h in self.all if h.status == 'seen']
        self.clear = all(h.status != 'unclear' for h in self.all)
        self.questions: list[Question] = []

    def add(
        self,
        family: str,
        key: str,
        answer: str,
        others: list[str],
        *,
        x: str = '',
        y: str = '',
        past: bool = False,
    ) -> None:
        """Add one question in one of its wordings, with up to five of `others` as choices."""
        text = str(self.rng.choice(PHRASES[key])).format(x=x, y=y)
        wrong = [o for o in dict.fromkeys(others) if o != answer]
        picked = [wrong[i] for i in self.rng.permutation(len(wrong))[:5]]
        # Refusing must be right sometimes and wrong sometimes, wherever it is offered.
        if answer != REFUSAL and self.rng.random() < 0.35:
            picked = [*picked[:4], REFUSAL]
        order = self.rng.permutation(len(picked) + 1)
        choices = tuple([answer, *picked][i] for i in order)
        self.questions.append(Question(family, text, choices, answer, past))

    @property
    def things(self) -> list[Thing]:
        """Everything that the scene and those before it show, in the window or not."""
        return [*(h.thing for h in self.all), *self.window.others, *self.window.gone]

    def settled(self, history: History) -> bool:
        """Tell whether the window shows when a thing came in, and no other of its name."""
        return history.entered[0] >= self.since and history.thing.name not in self.elsewhere

    def names(self, count: int) -> list[str]:
        """Return names of things: those of the scene first, then others."""
        own = [h.thing.name for h in self.all]
        every = [f'{c} {s}' for c in COLOURS for s in SHAPES]
        extra = [every[i] for i in self.rng.permutation(len(every)) if every[i] not in own]
        return (own + extra)[: max(count, len(own))]
