# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the demo shows and asks: a scene made of what the generator's scenes are made of."""

from __future__ import annotations

import dataclasses

from streamvlm_ros.scenes.phrases import OUTSIDE_KEY, parse_question
from streamvlm_ros.scenes.questions import Question, questions_for
from streamvlm_ros.scenes.render import Look
from streamvlm_ros.scenes.scene import make_scene, Scene
from streamvlm_ros.scenes.things import Light, Thing

SEED = 2_000_000_000  # of wordings, noise and stamps; training never draws one above 1,000,000,000
SECONDS, FPS, SIZE = 17.0, 4.0, (192, 144)  # 5.6 MB of raw images
# Nothing changes for so many seconds after a question, so that its truth does not depend on which
# frame exactly was the newest one.
AFTER = 2.0

FAR, NEAR = 0.47, 0.81  # rows, in frame heights
OUT_LEFT, LEFT, MIDDLE, RIGHT, OUT_RIGHT = -0.22, 0.22, 0.5, 0.79, 1.22  # in frame widths
# Of each thing: name, kind, row, and its path as (seconds, place).
THINGS: tuple[tuple[str, str, float, tuple[tuple[float, float], ...]], ...] = (
    ('blue box', 'stands', FAR, ((0.0, MIDDLE),)),
    ('red cross', 'stands', FAR, ((0.0, RIGHT),)),
    (
        'yellow ball',
        'returns',
        NEAR,
        ((3.5, LEFT), (4.4, OUT_LEFT), (12.4, OUT_LEFT), (13.3, LEFT)),
    ),
    ('purple cone', 'enters', NEAR, ((6.9, OUT_RIGHT), (7.8, RIGHT))),
    ('white ring', 'passes', NEAR, ((10.8, OUT_LEFT), (15.4, OUT_RIGHT))),
)
LIGHT = Light(0.18, (0.0, 5.2, 14.1), ('red', 'green', 'blue'))
LOOK = Look(
    wall=(0.55, 0.50, 0.44),
    floor=(0.36, 0.30, 0.26),
    pattern='boards',
    texture=0.03,
    horizon=0.3,
    gain=1.0,
    flicker=0.02,
    noise=0.01,
    blur=0.0,
    quality=92,
)
PAN = (0.03, 16.0, 0.0)  # amplitude in frame widths, period in seconds, phase


@dataclasses.dataclass(frozen=True)
class Wanted:
    """
    One question of the demo, before it has its wording.

    `at` is in seconds of the scene, `verb` the service, `key` the kind as in `scenes.phrases`;
    `about` stands in the text; `answer` is only given where one is wanted.
    """

    at: float
    verb: str
    key: str
    about: str = ''
    answer: str = ''


# Of several questions at one moment, those about that moment come first: where the machine is
# busy, the others see more of the scene.
WANTED = (
    Wanted(1.5, 'choose', 'light_now'),
    Wanted(1.5, 'ask', 'shape', 'yellow'),
    Wanted(8.75, 'choose', 'count_now'),
    Wanted(8.75, 'ask', 'colour', 'ball'),  # it is out of the picture
    Wanted(8.75, 'choose', 'direction', 'purple cone'),
    Wanted(8.75, 'choose', 'order_light', 'purple cone'),
    Wanted(8.75, 'choose', 'seen', answer='no'),  # one like it was
    Wanted(16.5, 'ask', 'where', 'yellow ball'),  # it is back
    Wanted(16.5, 'ask', 'last_out'),
    Wanted(16.5, 'choose', 'when', 'purple cone'),
    Wanted(16.5, 'ask', 'light_before'),
    Wanted(16.5, 'ask', OUTSIDE_KEY),
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


def make_plan(seed: int = SEED) -> Plan:
    """Return the demo's scene with its questions; wordings and noise are by the seed."""
    plain = make_scene(seed, seconds=SECONDS, fps=FPS, size=SIZE)
    scene = dataclasses.replace(
        plain,
        things=tuple(_thing(*each) for each in THINGS),
        light=LIGHT,
        look=LOOK,
        pan=PAN,
    )
    return Plan(scene, tuple(Asked(each.at, each.verb, _question(scene, each)) for each in WANTED))


def _thing(name: str, kind: str, row: float, path: tuple[tuple[float, float], ...]) -> Thing:
    colour, shape = name.split()
    times, places = zip(*path)
    height = 0.15 * (0.8 + 0.3 * row)  # the nearer, the larger
    return Thing(colour, shape, kind, times, places, row, height * SIZE[1] / SIZE[0], height)


def _question(scene: Scene, wanted: Wanted) -> Question:
    for question in questions_for(scene, wanted.at):
        wording = parse_question(question.text)
        assert wording is not None
        if (
            wording.key == wanted.key
            and wanted.about in question.text
            and wanted.answer in ('', question.answer)
        ):
            return question
    raise ValueError(f'The scene does not settle {wanted} with seed {scene.seed}.')
