# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A simulated day: a stream that is never reset, one scene after another, a question every minute.

    python -m benchmark.day --hours 24

Scenes of the generator, half a minute long, follow one another without a word; the memory holds
the newest half minute. At the end of every other one a question about it is asked, and held to
the generator's truth. Written down: memory, tokens and time of a chunk for every hour, and the
answers that were right.

The memory still shows the last moment of the scene before. A question that fits a thing there as
well ('What shape is the cyan object?', where both have one) has no one answer; another is asked in
its place. It is asked all the same, and counted apart.
"""

from __future__ import annotations

from collections.abc import Sequence
import re
import resource
import statistics
import time
from typing import Any

import numpy as np

from benchmark import setup
from streamvlm_ros.engine import VideoStreamingInference
from training.questions import Question, questions_for
from training.scenes import HELD_OUT_SEED, make_scene, Scene
from training.things import Thing

SCENE_S = 30.0
# What a scene alone settles: after a cut everything in view has 'just come in', and 'seen so far'
# means other scenes too.
FAMILIES = ('colour', 'shape', 'where', 'light', 'direction', 'when')


class Day:
    """The stream, and what is measured of the hour that runs."""

    def __init__(self, engine: VideoStreamingInference, fps: float, size: tuple[int, int]) -> None:
        """Begin an hour."""
        self.engine, self.fps, self.size = engine, fps, size
        self.frames = 0
        self.wrong: list[dict[str, Any]] = []
        self.ambiguous: list[dict[str, Any]] = []
        # The scene before, and when it began less the first stamp that it has of its own.
        self._before: tuple[Scene, int] | None = None
        self.begin_hour()

    def begin_hour(self) -> None:
        """Forget the hour before."""
        self.chunk_ms: list[float] = []
        self.tokens: list[int] = []
        self.asked = self.right = 0

    def run_scene(self, number: int) -> None:
        """Stream a scene; every other one is asked about."""
        scene = make_scene(HELD_OUT_SEED + 700_000 + number, seconds=SCENE_S, fps=self.fps,
                           size=self.size)
        start = number * round(SCENE_S * 1e9) - scene.stamps_ns[0] + 1_000_000_000
        for image, stamp in zip(scene.frames, scene.stamps_ns):
            self.frames += 1
            pending = self.engine.get_cache_info().pending_frames
            began = time.perf_counter()
            self.engine.append_frame(image, start + stamp)
            if pending == self.engine.settings.chunk_frames - 1:
                self.chunk_ms.append(1e3 * (time.perf_counter() - began))
                self.tokens.append(self.engine.get_cache_info().tokens)
        if number % 2:
            others = self._still_shown()
            question, heedless = pick(scene, number // 2, others), pick(scene, number // 2)
            if question is not None:
                self.asked += 1
                told = self._ask(number, question)
                self.right += told['answer'] == told['truth']
                self.wrong += [told] * (told['answer'] != told['truth'])
            if heedless is not None and heedless != question:
                self.ambiguous.append(self._ask(number, heedless))
        self._before = scene, start

    def _ask(self, number: int, question: Question) -> dict[str, Any]:
        answer, _ = self.engine.ask(question.text, 16)
        return {'scene': number, 'question': question.text, 'answer': answer,
                'truth': question.answer}

    def _still_shown(self) -> list[Thing]:
        """Return the things of the scene before that are to be seen in what is kept of it."""
        if self._before is None:
            return []
        scene, start = self._before
        oldest = self.engine.get_cache_info().oldest_stamp_ns - start
        kept = np.array([t for t in scene.times if scene.stamp_ns(t) >= oldest])
        return [thing for thing in scene.things if (scene.visible_part(thing, kept) > 0.0).any()]

    def hour(self, number: int) -> dict[str, Any]:
        """Return the hour's figures."""
        info = self.engine.get_cache_info()
        return {'hour': number, 'frames': self.frames, 'evicted_tokens': info.evicted_tokens,
                'largest_position': info.last_cache_position,
                'cached_tokens': statistics.mean(self.tokens),
                'chunk_ms': statistics.median(self.chunk_ms),
                'cache_mb': info.memory_bytes / 1e6, 'process_mb': resident_mb(),
                'questions': self.asked, 'right': self.right}


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
    asked = [question for question in questions_for(scene, SCENE_S - 1.0 / scene.fps)
             if not any(fits(question, thing) for thing in others)]
    for turn in range(len(FAMILIES)):
        family = FAMILIES[(number + turn) % len(FAMILIES)]
        for question in asked:
            if question.family == family:
                return question
    return None


def resident_mb() -> float:
    """Return the memory that the process holds now, in MB."""
    with open('/proc/self/statm', encoding='ascii') as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def main(argv: list[str] | None = None) -> None:
    """Run the day and write ``results/day``."""
    made = setup.parser(__doc__ or '')
    made.add_argument('--hours', type=float, default=24.0)
    made.add_argument('--fps', type=float, default=4.0)
    made.add_argument('--rebase-position', type=int, default=0, help="0: by the model's range")
    made.set_defaults(width=112, height=84)
    arguments = made.parse_args(argv)
    day = Day(setup.make_engine(
        setup.load_model(arguments), capacity=arguments.capacity, sample_rate=0.0,
        memory_seconds=SCENE_S, rebase_position=arguments.rebase_position),
        arguments.fps, (arguments.width, arguments.height))
    rows: list[dict[str, Any]] = []
    scenes = round(3600 / SCENE_S * arguments.hours)
    for number in range(scenes):
        day.run_scene(number)
        if (number + 1) % round(3600 / SCENE_S) == 0 or number == scenes - 1:
            rows.append(day.hour(len(rows) + 1))
            print(rows[-1], flush=True)
            day.begin_hour()
    result = {'command': f'python -m benchmark.day --hours {arguments.hours:g}',
              'machine': setup.machine(arguments), 'rebase_position': arguments.rebase_position,
              'questions': sum(row['questions'] for row in rows),
              'right': sum(row['right'] for row in rows), 'wrong': day.wrong,
              'ambiguous': {
                  'questions': len(day.ambiguous),
                  'otherwise': [a for a in day.ambiguous if a['answer'] != a['truth']]},
              'hours': rows}
    setup.write('day', result, rows)


if __name__ == '__main__':
    main()
