# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the demo shows and asks: picked from the scene generator, with its truth."""

from __future__ import annotations

import dataclasses
import itertools

from streamvlm_ros.scenes.questions import Question, questions_for
from streamvlm_ros.scenes.scene import make_scene, Scene

FIRST_SEED = 2_000_000_000  # training never draws seeds above 1,000,000,000
SECONDS, FPS, SIZE = 10.0, 4.0, (192, 144)  # 3.3 MB of raw images
MOMENTS = range(3, 10)  # seconds into the scene
EARLY = 5.0  # the first question comes no later, so that the questions go through the scene
# Nothing changes from so long before a question until so long after it, so that its truth does not
# hang on which frame exactly was the newest one.
BEFORE, AFTER = 0.9, 2.5
# One question each: kind of service, families to pick from, whether it is about the past.
SLOTS = (
    ('ask', ('where', 'shape', 'colour'), False),
    ('choose', ('light', 'count'), False),
    ('choose', ('direction', 'order', 'light'), None),
    ('ask', ('colour', 'shape'), True),  # of a thing that is no longer in view
    ('choose', ('last', 'order', 'seen'), True),
    ('ask', ('unanswerable',), False),
)


@dataclasses.dataclass(frozen=True)
class Asked:
    """One question of the demo: when (seconds into the scene), how, and with which truth."""

    at: float
    verb: str
    question: Question


@dataclasses.dataclass(frozen=True)
class Plan:
    """The demo's scene and questions, in the order of asking."""

    scene: Scene
    questions: tuple[Asked, ...]

    def stamp_ns(self, asked: Asked) -> int:
        """Return the stamp of the first frame that is not older than the question."""
        due = self.scene.stamps_ns[0] + int(asked.at * 1e9)
        return next(stamp for stamp in self.scene.stamps_ns if stamp >= due)


def make_plan() -> Plan:
    """Return the first scene that offers a question for every slot."""
    for seed in itertools.count(FIRST_SEED):
        scene = make_scene(seed, seconds=SECONDS, fps=FPS, size=SIZE)
        moments = [float(at) for at in MOMENTS if is_quiet(scene, at)]
        spread = len(moments) >= 4 and moments[0] <= EARLY
        questions = _fill(scene, moments) if spread else None
        if questions is not None:
            return Plan(scene, questions)
    raise AssertionError('itertools.count ends never')


def is_quiet(scene: Scene, at: float) -> bool:
    """Tell whether nothing moves or changes colour around a moment (seconds)."""
    begin, end = at - BEFORE, at + AFTER
    for thing in scene.things:
        knots = list(zip(thing.times, thing.places))
        for (start, here), (stop, there) in itertools.pairwise(knots):
            if here != there and start < end and stop > begin:
                return False
    changes = scene.light.times[1:] if scene.light else ()
    return not any(begin < change < end for change in changes)


def _fill(scene: Scene, moments: list[float]) -> tuple[Asked, ...] | None:
    """Return a question for every slot, the first at the first moment and the last at the last."""
    picked: list[Asked] = []
    for number, (verb, families, past) in enumerate(SLOTS):
        at = moments[round(number * (len(moments) - 1) / (len(SLOTS) - 1))]
        used = {asked.question.family for asked in picked}
        question = next(
            (
                q
                for family in families
                for q in questions_for(scene, at)
                if q.family == family
                and family not in used
                and past in (None, q.past)
                and (family != 'seen' or q.answer == 'yes')
            ),
            None,
        )
        if question is None:
            return None
        picked.append(Asked(at, verb, question))
    return tuple(picked)
