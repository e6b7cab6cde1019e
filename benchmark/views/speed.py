# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What a view takes: its first token, a token after that, and whether a camera loses frames by it.

    python -m benchmark.views.speed --dimensions 7B --device cuda

Random weights at the published dimensions, bfloat16, 8k tokens cached; medians with quartiles.
First tokens of an idle stream: the newest 4 frames of 448 x 448 and of 1280 x 720. A token of a
`now` answer beside one of a `memory` answer. Then frames come at 30 Hz while `now` is asked again
and again.
"""

from __future__ import annotations

import functools
import time
from typing import Any

import numpy as np
import torch

from benchmark.common import card, harness
from benchmark.common.dimensions import build
from benchmark.common.timing import quartiles, Timer
from streamvlm_ros.engine import StreamSettings, StreamWorker, VideoStreamingInference, warm_up
from streamvlm_ros.view import ViewName

QUESTION = 'What does the person in front of the robot hold in the left hand just now?'
CHUNK, HZ = 4, 30
WARM, TIMES, TOKENS = 4, 15, 32
VIEWS: tuple[ViewName, ...] = ('memory', 'now', 'memory_and_now')


class Measured:
    """One model with a stream of square frames, as many tokens cached as is wanted."""

    def __init__(self, name: str, arguments: Any) -> None:
        """Build, warm up and fill the stream."""
        # Parameters that are joined later must not be inference tensors.
        with torch.inference_mode(False):
            model, processor = build(name, arguments.device, harness.DTYPES[arguments.dtype])
        self._name, self._arguments = name, arguments
        self._time = Timer(arguments.device)
        self.engine = VideoStreamingInference(
            model,
            processor,
            settings=StreamSettings(
                sample_rate=0.0,
                chunk_frames=CHUNK,
                max_pixels=arguments.side**2,
                min_pixels=28 * 28,
                memory_tokens=arguments.cached + 4096,
                now_max_pixels=max(1280 * 720, arguments.side**2),
            ),
        )
        warm_up([self.engine], print)
        self._stamp = 0
        while self.engine.get_cache_info().tokens < arguments.cached:
            self.show(arguments.side, arguments.side)

    def show(self, height: int, width: int) -> None:
        """Append a chunk of noise."""
        rng = np.random.default_rng(self._stamp)
        for _ in range(CHUNK):
            self._stamp += 10**9 // HZ
            self.engine.append_frame(
                rng.integers(0, 256, (height, width, 3), np.uint8), self._stamp
            )

    def first_tokens(self) -> list[dict[str, Any]]:
        """Return how long first tokens take."""
        side = self._arguments.side
        rows = [self._first(view, (side, side)) for view in VIEWS]
        self.show(*self._arguments.large)
        return [*rows, self._first('now', self._arguments.large)]

    def _first(self, view: ViewName, size: tuple[int, int]) -> dict[str, Any]:
        work = functools.partial(self.engine.ask, QUESTION, 1, view=view)
        return self._row(
            f'first token, {view}, {size[1]} x {size[0]}', self._time(work, TIMES, WARM)
        )

    def tokens(self) -> list[dict[str, Any]]:
        """Return how long a token takes that is not the first, in turns."""
        times: dict[ViewName, list[float]] = {view: [] for view in VIEWS}
        for _ in range(3):
            for view in VIEWS:
                asked = self.engine.questions.open(QUESTION, TOKENS, view=view)
                decode = functools.partial(self.engine.questions.decode, [asked])
                taken = [self._time.once(decode) for _ in range(TOKENS) if not asked.ended]
                self.engine.questions.abandon(asked)
                times[view] += taken[WARM:]
        return [self._row(f'a token, {view}', taken) for view, taken in times.items()]

    def stream(self) -> dict[str, Any]:
        """Return how many frames of a camera are dropped while `now` is asked."""
        side, worker = self._arguments.side, StreamWorker(self.engine)
        rng = np.random.default_rng(0)
        frames = [rng.integers(0, 256, (side, side, 3), np.uint8) for _ in range(8)]
        worker.start()
        answers, asked = 0, worker.ask(QUESTION, max_new_tokens=8, view='now')
        began = time.perf_counter()
        for number in range(round(self._arguments.seconds * HZ)):
            self._stamp += 10**9 // HZ
            worker.submit_frame(frames[number % 8], self._stamp)
            if asked.done():
                asked.result()
                answers, asked = answers + 1, worker.ask(QUESTION, max_new_tokens=8, view='now')
            time.sleep(max(0.0, began + (number + 1) / HZ - time.perf_counter()))
        asked.result(600)
        status = worker.status()
        worker.stop()
        what = f'{HZ} Hz for {self._arguments.seconds:g} s: {answers + 1} answers, frames dropped'
        return {'model': self._name, 'what': what, 'ms': status.frames_dropped, 'quartiles': ''}

    def _row(self, what: str, times: list[float]) -> dict[str, Any]:
        low, median, high = quartiles(times)
        return {
            'model': self._name,
            'what': what,
            'ms': median,
            'quartiles': f'{low} to {high}',
        }


def main(argv: list[str] | None = None) -> None:
    """Measure and write ``results/views_speed``."""
    made = card.parser(__doc__ or '')
    made.add_argument('--cached', type=int, default=8192, help='tokens')
    made.add_argument('--side', type=int, default=448, help='of the square frames, in pixels')
    made.add_argument('--large', nargs=2, type=int, default=(720, 1280), help='height and width')
    made.add_argument('--seconds', type=float, default=20.0, help='of the camera at 30 Hz')
    arguments = made.parse_args(argv)
    rows: list[dict[str, Any]] = []
    for name in arguments.dimensions:
        measured = Measured(name, arguments)
        rows += [*measured.first_tokens(), *measured.tokens(), measured.stream()]
        del measured
        card.free(arguments.device)
    harness.write('views_speed', {**card.describe(arguments), 'rows': rows}, rows, arguments.out)


if __name__ == '__main__':
    main()
