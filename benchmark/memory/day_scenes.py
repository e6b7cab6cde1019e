# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The simulated day's scenes, and the questions about them that have one answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import re
from typing import Any

import numpy as np

from streamvlm_ros.engine import VideoStreamingInference
from streamvlm_ros.scenes.questions import Question, questions_for
from streamvlm_ros.scenes.scene import HELD_OUT_SEED, make_scene, Scene
from streamvlm_ros.scenes.things import Thing

SCENE_S = 30.0
# What a scene alone settles: after a cut everything in view has 'just come in', and 'seen so far'
# means other scenes too.
FAMILIES = ('colour', 'shape', 'where', 'light', 'direction', 'when')


class Scenes:
    """Shows scenes one after another, and asks a stream about every other one."""

    def __init__(self, engine: VideoStreamingInference, fps: float, size: tuple[int, int]) -> None:
        """Take the stream that is asked."""
        self.engine, self.fps, self.size = engine, fps, size
        self.frames = 0
        # The scene before, and when it began minus its own first stamp.
        self._before: tuple[Scene, int] | None = None
        self.forget_answers()

    def forget_answers(self) -> None:
        """Count answers from here on."""
        self.asked = 0
        self.wrong: list[dict[str, Any]] = []
        self.ambiguous: list[dict[str, Any]] = []

    def show(self, number: int, *append: Callable[[np.ndarray, int], object]) -> None:
        """Hand a scene's frames with their stamps to each of some streams, in turns; then ask."""
        scene = make_scene(
            HELD_OUT_SEED + 700_000 + number, seconds=SCENE_S, fps=self.fps, size=self.size
        )
        start = number * round(SCENE_S * 1e9) - scene.stamps_ns[0] + 1_000_000_000
        for image, stamp in zip(scene.frames, scene.stamps_ns):
            self.frames += 1
            for each in append:
                each(image, start + stamp)
        if number % 2:
            self._ask_about(scene, number)
        self._before = scene, start

    def _ask_about(self, scene: Scene, number: int) -> None:
        others = self._still_shown()
        question, heedless = pick(scene, number // 2, others), pick(scene, number // 2)
        if question is not None:
            self.asked += 1
            told = self._ask(number, question)
            self.wrong += [told] * (told['answer'] != told['truth'])
        if heedless is not None and heedless != question:
            self.ambiguous.append(self._ask(number, heedless))

    def _ask(self, number: int, question: Question) -> dict[str, Any]:
        answer, _ = self.engine.ask(question.text, 16)
        return {
            'scene': number,
            'question': question.text,
            'answer': answer,
            'truth': question.answer,
        }

    def _still_shown(self) -> list[Thing]:
        """Return the things of the scene before that are to be seen in what is kept of it."""
        if self._before is None:
            return []
        scene, start = self._before
        oldest = self.engine.get_cache_info().oldest_stamp_ns - start
        kept = np.array([t for t in scene.times if scene.stamp_ns(t) >= oldest])
        return [thing for thing in scene.things if (scene.visible_part(thing, kept) > 0.0).any()]


def fits(question: Question, thing: Thing) -> bool:
    """Tell whether a question about a thing fits this one, of another scene, as well."""
    if question.family == 'where':
        return False  # that is about now
    called = {'colour': thing.shape, 'shape': thing.colour}.get(question.family, thing.name)
    return {*called.split()} <= {*re.findall(r'[a-z]+', question.text.lower())}


def pick(scene: Scene, number: int, others: Sequence[Thing] = ()) -> Question | None:
    """
    Return one of the questions that the scene's end settles, another kind each time.

    :param others: Things of another scene that the memory shows as well; no question is about one.
    """
    asked = [
        question
        for question in questions_for(scene, SCENE_S - 1.0 / scene.fps)
        if not any(fits(question, thing) for thing in others)
    ]
    for turn in range(len(FAMILIES)):
        family = FAMILIES[(number + turn) % len(FAMILIES)]
        for question in asked:
            if question.family == family:
                return question
    return None
