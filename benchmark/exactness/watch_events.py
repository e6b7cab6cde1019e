# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether watches report what happens: held-out scenes with one event each, watched from the start.

    python -m benchmark.exactness.watch_events --scenes 100

The event is a change of the light, watched by its colour, or a thing that appears or leaves,
watched by the number of things in view. Counted are events reported within two chunks of the
truth, and false events. The first answer of a watch is its beginning and not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
import dataclasses
import itertools
from typing import Any

from benchmark.common import harness
from streamvlm_ros.engine import VideoStreamingInference
from streamvlm_ros.scenes.history import Chronicle
from streamvlm_ros.scenes.scene import HELD_OUT_SEED, make_scene, Scene
from streamvlm_ros.scenes.things import LIGHT_COLOURS

SECONDS, FPS = 16.0, 2.0
WITHIN_CHUNKS = 2
# The event is so far from both ends that there is a before and an after.
MARGIN_S = 4.0


@dataclasses.dataclass(frozen=True)
class Eventful:
    """A scene with one event: what to watch, when it happens, and what is true after it."""

    scene: Scene
    question: str
    choices: tuple[str, ...]
    seconds: float
    truth: str


def eventful_scenes(size: tuple[int, int]) -> Iterator[Eventful]:
    """Yield held-out scenes with exactly one event."""
    for seed in itertools.count(HELD_OUT_SEED + 800_000):
        scene = make_scene(seed, seconds=SECONDS, fps=FPS, size=size)
        found = the_event(scene)
        if found is not None and MARGIN_S <= found.seconds <= SECONDS - MARGIN_S:
            yield found


def the_event(scene: Scene) -> Eventful | None:
    """Return the scene's only event, if it has just one."""
    changes = scene.light.times[1:] if scene.light else ()
    movers = [thing for thing in scene.things if thing.kind != 'stands']
    if scene.light and len(changes) == 1 and not movers:
        return Eventful(
            scene,
            'What colour is the light now?',
            LIGHT_COLOURS,
            changes[0],
            scene.light.colours[-1],
        )
    if not changes and len(movers) == 1 and movers[0].kind in ('enters', 'leaves'):
        end = Chronicle(scene).at(SECONDS)
        times = [t for history in end for t in (*history.entered, *history.left)]
        if len(times) == 1:
            count = sum(history.now == 'in' for history in end)
            return Eventful(
                scene,
                'How many objects are visible now?',
                tuple(str(n) for n in range(6)),
                times[0],
                str(count),
            )
    return None


def watch_scene(engine: VideoStreamingInference, event: Eventful) -> tuple[bool, int]:
    """Return whether the event was reported in time, and how many events were false."""
    engine.reset()
    watch = engine.watch(event.question, event.choices)
    start = event.scene.stamps_ns[0]
    reports: list[tuple[int, str]] = []
    for number, (image, stamp) in enumerate(zip(event.scene.frames, event.scene.stamps_ns)):
        engine.append_frame(image, stamp)
        reports += [
            (number // engine.settings.chunk_frames, found.choice)
            for found in engine.score_watches()
            if found.previous
        ]
    engine.unwatch(watch.name)
    frame = sum((stamp - start) / 1e9 < event.seconds for stamp in event.scene.stamps_ns)
    chunk = frame // engine.settings.chunk_frames
    in_time = [
        choice == event.truth and chunk <= at <= chunk + WITHIN_CHUNKS for at, choice in reports
    ]
    return any(in_time), len(reports) - any(in_time)


def main(argv: list[str] | None = None) -> None:
    """Measure and write ``results/watch_events``."""
    made = harness.parser(__doc__ or '')
    made.add_argument('--scenes', type=int, default=100)
    made.add_argument('--chunk-frames', type=int, default=4)
    arguments = made.parse_args(argv)
    engine = harness.make_engine(
        harness.load_model(arguments),
        capacity=arguments.capacity,
        sample_rate=0.0,
        chunk_frames=arguments.chunk_frames,
    )
    size = (arguments.width, arguments.height)
    rows: dict[str, dict[str, Any]] = {
        kind: {'event': kind, 'scenes': 0, 'in_time': 0, 'false': 0} for kind in ('light', 'count')
    }
    for event in itertools.islice(eventful_scenes(size), arguments.scenes):
        row = rows['light' if 'light' in event.question else 'count']
        in_time, false = watch_scene(engine, event)
        row['scenes'] += 1
        row['in_time'] += in_time
        row['false'] += false
    result = {
        'command': f'python -m benchmark.exactness.watch_events --scenes {arguments.scenes}',
        'machine': harness.machine(arguments),
        'rows': list(rows.values()),
    }
    harness.write('watch_events', result, list(rows.values()))


if __name__ == '__main__':
    main()
