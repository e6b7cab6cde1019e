# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A simulated day: a stream that is never reset, one scene after another, a question every minute.

    python -m benchmark.memory.day --hours 24

Scenes of the generator, half a minute long, follow one another without a reset; the memory holds
the newest half minute. At the end of every other scene a question about it is asked, and compared
with the generator's truth. Recorded are memory, tokens and time of a chunk for every hour, and the
number of right answers.

The speed of a machine varies over a day. So towards the end of every hour a young stream over the
same model is begun, and once its memory is full as well, both are shown the same scenes in turns:
the ratio of the times of their chunks is the cost of the stream's age.

The memory still shows the last moment of the scene before. A question that also fits a thing there
('What shape is the cyan object?', if both have one) has no single answer; another question
replaces it. It is asked too, and counted separately.
"""

from __future__ import annotations

import resource
import statistics
import time
from typing import Any

import numpy as np

from benchmark.common import harness
from benchmark.memory.day_scenes import SCENE_S, Scenes
from streamvlm_ros.engine import VideoStreamingInference

SCENES = round(3600 / SCENE_S)  # of an hour
BESIDE = 12  # of them the young stream is timed with


class Stream:
    """A stream, and what its chunks took."""

    def __init__(self, engine: VideoStreamingInference) -> None:
        """Take an engine."""
        self.engine = engine
        self.forget_times()

    def forget_times(self) -> None:
        """Forget what chunks took."""
        self.chunk_ms: list[float] = []
        self.tokens: list[int] = []

    def append(self, image: np.ndarray, stamp_ns: int) -> None:
        """Append a frame."""
        pending = self.engine.get_cache_info().pending_frames
        began = time.perf_counter()
        self.engine.append_frame(image, stamp_ns)
        if pending == self.engine.settings.chunk_frames - 1:
            self.chunk_ms.append(1e3 * (time.perf_counter() - began))
            self.tokens.append(self.engine.get_cache_info().tokens)


class Day:
    """The day's stream, the young one, and what is measured of them hour by hour."""

    def __init__(
        self,
        old: VideoStreamingInference,
        young: VideoStreamingInference,
        fps: float,
        size: tuple[int, int],
    ) -> None:
        """Begin the day."""
        self.scenes = Scenes(old, fps, size)
        self._old, self._young = Stream(old), Stream(young)

    def run_hour(self, hour: int) -> dict[str, Any]:
        """Stream the scenes of an hour, of which the first is 0; return its figures."""
        asked, wrong = self.scenes.asked, len(self.scenes.wrong)
        first, end = hour * SCENES, (hour + 1) * SCENES
        self._old.forget_times()
        for number in range(first, end - BESIDE - 1):
            self.scenes.show(number, self._old.append)
        self._young.engine.reset()
        self._show_both(end - BESIDE - 1)
        chunks = len(self._old.chunk_ms)
        self._young.forget_times()
        for number in range(end - BESIDE, end):
            self._show_both(number)
        old, young = (
            statistics.median(times)
            for times in (self._old.chunk_ms[chunks:], self._young.chunk_ms)
        )
        info, asked = self._old.engine.get_cache_info(), self.scenes.asked - asked
        return {
            'hour': hour + 1,
            'frames': self.scenes.frames,
            'evicted_tokens': info.evicted_tokens,
            'largest_position': info.last_cache_position,
            'cached_tokens': statistics.mean(self._old.tokens),
            'chunk_ms': statistics.median(self._old.chunk_ms),
            'beside_young': old / young,
            'cache_mb': info.memory_bytes / 1e6,
            'process_mb': resident_mb(),
            'questions': asked,
            'right': asked - (len(self.scenes.wrong) - wrong),
        }

    def _show_both(self, number: int) -> None:
        """Show a scene to both streams, the old one first in every other scene."""
        both = [self._old.append, self._young.append]
        self.scenes.show(number, *(both if number % 2 else reversed(both)))


def resident_mb() -> float:
    """Return the memory that the process holds now, in MB."""
    with open('/proc/self/statm', encoding='ascii') as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def main(argv: list[str] | None = None) -> None:
    """Run the day and write ``results/day``."""
    made = harness.parser(__doc__ or '')
    made.add_argument('--hours', type=int, default=24)
    made.add_argument('--fps', type=float, default=4.0)
    made.add_argument('--rebase-position', type=int, default=0, help="0: by the model's range")
    made.set_defaults(width=112, height=84)
    arguments = made.parse_args(argv)
    model = harness.load_model(arguments)
    old, young = (
        harness.make_engine(
            model,
            capacity=arguments.capacity,
            sample_rate=0.0,
            memory_seconds=SCENE_S,
            rebase_position=arguments.rebase_position,
        )
        for _ in range(2)
    )
    day = Day(old, young, arguments.fps, (arguments.width, arguments.height))
    rows: list[dict[str, Any]] = []
    for hour in range(arguments.hours):
        rows.append(day.run_hour(hour))
        print(rows[-1], flush=True)
    scenes = day.scenes
    result = {
        'command': f'python -m benchmark.memory.day --hours {arguments.hours}',
        'machine': harness.machine(arguments),
        'rebase_position': arguments.rebase_position,
        'questions': sum(row['questions'] for row in rows),
        'right': sum(row['right'] for row in rows),
        'wrong': scenes.wrong,
        'ambiguous': {
            'questions': len(scenes.ambiguous),
            'otherwise': [a for a in scenes.ambiguous if a['answer'] != a['truth']],
        },
        'hours': rows,
    }
    harness.write('day', result, rows)


if __name__ == '__main__':
    main()
