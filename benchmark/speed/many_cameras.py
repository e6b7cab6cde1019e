# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What it saves to encode the chunks of several cameras in one ViT call.

    python -m benchmark.speed.many_cameras --dimensions 7B 3B --cameras 1 2 4 --sides 448 224

Random weights, square frames of noise in chunks of 4, a full window for each camera. Every camera
has a chunk due at the same moment: `apart` each is encoded in its own turn, `together` in one call
for as many as have `--largest` tokens; the turns are the worker's own. Times are milliseconds of a
chunk, the device waited for around a round of all cameras, and medians of rounds in turns.
`difference` is the largest one of the embeddings, against their largest value; `of these` is the
part of the chunks that did go through the ViT with others.
"""

from __future__ import annotations

from collections.abc import Callable
import math
from typing import Any

import numpy as np
import torch

from benchmark.common import card, harness
from benchmark.common.dimensions import build
from benchmark.common.timing import quartiles, Timer
from streamvlm_ros.engine import open_streams, StreamSettings, StreamWorker
from streamvlm_ros.engine.models.preprocessing import to_patches
from streamvlm_ros.engine.positions import Grid
from streamvlm_ros.engine.runner.model_runner import ModelRunner
from streamvlm_ros.engine.stream import encoder_cache
from streamvlm_ros.stamps import NANOSECONDS

FRAMES = 4
WARM, TIMES = 4, 9  # a pass is run, recorded and replayed in the first of them


class Cameras:
    """Streams over one model in a thread that is not started, each with a full window."""

    def __init__(self, model: tuple[Any, Any], side: int, most: int, arguments: Any) -> None:
        """Begin as many streams as are ever measured, and fill them."""
        self._model = model[0]
        self._timed = Timer(arguments.device)
        self._stamp, self._largest = 0, arguments.largest
        settings = StreamSettings(
            sample_rate=0.0,
            chunk_frames=FRAMES,
            min_pixels=side**2,
            max_pixels=side**2,
            memory_tokens=arguments.window,
        )
        rng = np.random.default_rng(0)
        self._images = [
            [rng.integers(0, 256, (side, side, 3), np.uint8) for _ in range(FRAMES)]
            for _ in range(most)
        ]
        engines = open_streams(*model, [settings] * most)
        self._pixels = engines[0].stream.pixels
        self._workers: list[StreamWorker] = []
        for engine in engines:
            beside = self._workers[0] if self._workers else None
            self._workers.append(StreamWorker(engine, beside=beside))
        while not engines[-1].get_cache_info().evicted_tokens:
            self._turns(most, self._largest)

    def chunks(self, cameras: int) -> dict[str, Any]:
        """Return a chunk's time from its frames to its keys and values."""
        before = self._found()
        apart, together = self._alternately(
            lambda: self._turns(cameras, 0), lambda: self._turns(cameras, self._largest)
        )
        return {
            'chunk apart': apart / cameras,
            'chunk together': together / cameras,
            'of these': (self._found() - before) / (WARM + TIMES) / cameras,
        }

    @torch.inference_mode()
    def encode(self, cameras: int) -> dict[str, Any]:
        """Return a chunk's time in the ViT, and how far its embeddings are from those alone."""
        encode = ModelRunner.of(self._model).encode
        patches, grids = zip(
            *(
                to_patches(images, self._pixels, self._model.device)
                for images in self._images[:cameras]
            )
        )
        grid, joined = grids[0], torch.cat(patches)
        whole = Grid(cameras * grid.t, grid.h, grid.w)
        apart, together = self._alternately(
            lambda: [encode(each, grid) for each in patches], lambda: encode(joined, whole)
        )
        alone = torch.cat([encode(each, grid) for each in patches]).float()
        difference = (alone - encode(joined, whole).float()).abs().max() / alone.abs().max()
        return {
            'tokens': math.prod(grid),
            'ViT apart': apart / cameras,
            'ViT together': together / cameras,
            'difference': float(difference),
        }

    def _found(self) -> int:
        return sum(worker.status().chunks_together for worker in self._workers)

    def _turns(self, cameras: int, largest: int) -> None:
        """Submit a chunk of each camera, and run a turn for each."""
        encoder_cache.LARGEST_ON_CPU = encoder_cache.LARGEST_ON_GPU = largest
        for worker, images in zip(self._workers[:cameras], self._images):
            for i, image in enumerate(images):
                worker.submit_frame(image, self._stamp + (i + 1) * NANOSECONDS // FRAMES)
        self._stamp += NANOSECONDS
        for _ in range(cameras):
            self._workers[0]._thread._take_turn()
        assert not any(worker.status().frames_waiting for worker in self._workers)

    def _alternately(self, *works: Callable[[], Any]) -> list[float]:
        """Return the median times of some works."""
        times = [[self._timed.once(work) for work in works] for _ in range(WARM + TIMES)]
        return [quartiles(each)[1] for each in zip(*times[WARM:])]


def main(argv: list[str] | None = None) -> None:
    """Measure and write ``results/many_cameras``."""
    made = card.parser(__doc__ or '')
    made.add_argument('--cameras', type=int, nargs='+', default=[1, 2, 4])
    made.add_argument('--sides', type=int, nargs='+', default=[448, 224], help='pixels of a frame')
    made.add_argument('--window', type=int, default=4096, help='tokens that each camera keeps')
    made.add_argument(
        '--largest', type=int, default=encoder_cache.LARGEST_ON_GPU, help='tokens of one ViT call'
    )
    arguments = made.parse_args(argv)
    rows: list[dict[str, Any]] = []
    for name in arguments.dimensions:
        model = build(name, arguments.device, harness.DTYPES[arguments.dtype])
        for side in arguments.sides:
            streams = Cameras(model, side, max(arguments.cameras), arguments)
            for cameras in arguments.cameras:
                rows.append(
                    {
                        'model': name,
                        'frame': f'{side}x{side}',
                        'cameras': cameras,
                        **streams.encode(cameras),
                        **streams.chunks(cameras),
                    }
                )
                print(rows[-1], flush=True)
            del streams
            card.free(arguments.device)
        del model
        card.free(arguments.device)
    harness.write('many_cameras', {**card.describe(arguments), 'rows': rows}, rows, arguments.out)


if __name__ == '__main__':
    main()
