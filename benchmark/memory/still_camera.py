# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A camera that stands still for ten minutes, with two events: with and without `skip_static`.

    python -m benchmark.memory.still_camera --minutes 10

Side by side: temporal patches through the ViT, tokens kept, seconds of work, and the answers to
all possible questions some time after each event, compared with the truth and with each other.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from typing import Any

from benchmark.common import harness
from streamvlm_ros.engine import StreamQwenModel
from streamvlm_ros.engine.runner.model_runner import ModelRunner
from streamvlm_ros.scenes.questions import Question, questions_for
from streamvlm_ros.scenes.scene import HELD_OUT_SEED, make_scene, Scene

FPS = 2.0
ASKED_BEHIND_S = 12.0
# What holds whatever the window has let go of.
FAMILIES = ('colour', 'shape', 'count', 'where', 'light', 'direction', 'last', 'when')


def scene_with_two_events(seconds: float, size: tuple[int, int]) -> tuple[Scene, list[float]]:
    """Return a held-out scene whose camera stands still, and the seconds at which things begin."""
    for seed in itertools.count(HELD_OUT_SEED + 900_000):
        scene = make_scene(seed, seconds=seconds, fps=FPS, size=size)
        events = sorted(
            [t.times[0] for t in scene.things if t.kind != 'stands']
            + list(scene.light.times[1:] if scene.light else ())
        )
        single = all(t.kind in ('stands', 'enters', 'leaves') for t in scene.things)
        if len(events) == 2 and single and not scene.pan[0] and len(scene.things) > 2:
            # Lamps do not flicker here: a picture that gets brighter is a picture that changes.
            return dataclasses.replace(
                scene, look=dataclasses.replace(scene.look, flicker=0.0)
            ), events
    raise AssertionError('itertools.count ends never')


class CountedModel:
    """Counts the temporal patches that go through a model's ViT."""

    def __init__(self, model: StreamQwenModel) -> None:
        """Count what the model's runner encodes."""
        self.patches = 0
        runner = ModelRunner.of(model)
        encode = runner.encode

        def counted(patches: Any, grid: Any) -> Any:
            self.patches += grid.t
            return encode(patches, grid)

        runner.encode = counted  # type: ignore[method-assign]


def stream(
    arguments: Any,
    scene: Scene,
    moments: list[float],
    skip_static: float,
) -> tuple[dict[str, Any], list[tuple[Question, str]]]:
    """Stream the scene and ask at the moments; return the figures and the answers."""
    model = harness.load_model(arguments)
    counter = CountedModel(model[0])
    engine = harness.make_engine(
        model,
        capacity=arguments.capacity,
        sample_rate=0.0,
        memory_seconds=arguments.memory_seconds,
        skip_static=skip_static,
    )
    answers: list[tuple[Question, str]] = []
    frames = scene.frames_at(scene.times, scene.size)
    waiting = list(moments)
    busy = 0.0
    for image, stamp, seconds in zip(frames, scene.stamps_ns, scene.times):
        began = time.perf_counter()
        engine.append_frame(image, stamp)
        busy += time.perf_counter() - began
        while waiting and seconds >= waiting[0]:
            waiting.pop(0)
            answers += [
                (question, engine.ask(question.text, 16)[0])
                for question in questions_for(scene, seconds)
                if question.family in FAMILIES
            ]
    info = engine.get_cache_info()
    right = sum(answer == question.answer for question, answer in answers)
    return {
        'skip_static': skip_static,
        'frames': len(frames),
        'vit_patches': counter.patches,
        'tokens_kept': info.tokens,
        'evicted_tokens': info.evicted_tokens,
        'ingest_seconds': round(busy, 2),
        'questions': len(answers),
        'right': right,
    }, answers


def main(argv: list[str] | None = None) -> None:
    """Measure and write ``results/still_camera``."""
    made = harness.parser(__doc__ or '')
    made.add_argument('--minutes', type=float, default=10.0)
    made.add_argument('--memory-seconds', type=float, default=100.0)
    made.add_argument('--threshold', type=float, default=6.0, help='skip_static, in grey levels')
    arguments = made.parse_args(argv)
    scene, events = scene_with_two_events(
        60.0 * arguments.minutes, (arguments.width, arguments.height)
    )
    moments = [t + ASKED_BEHIND_S for t in events]
    rows, answers = [], []
    for threshold in (0.0, arguments.threshold):
        row, given = stream(arguments, scene, moments, threshold)
        rows.append(row)
        answers.append([answer for _, answer in given])
    agree = sum(a == b for a, b in zip(*answers))
    command = f'python -m benchmark.memory.still_camera --minutes {arguments.minutes:g}'
    result = {
        'command': command,
        'machine': harness.machine(arguments),
        'seed': scene.seed,
        'events_s': events,
        'noise': scene.look.noise,
        'same_answers': agree,
        'rows': rows,
    }
    harness.write('still_camera', result, rows)
    print(f'{agree} of {len(answers[0])} answers are the same.')


if __name__ == '__main__':
    main()
