# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What a choice question takes: 2, 4 and 26 short choices over a few lengths of what is cached.

    python -m benchmark.speed.choosing --dimensions 7B 3B --device cuda

Random weights at the published dimensions, bfloat16.  Medians with quartiles, from the question to
its probabilities.
"""

from __future__ import annotations

import functools
import string
from typing import Any

import numpy as np
import torch

from benchmark.common import card, harness
from benchmark.common.dimensions import build
from benchmark.common.timing import quartiles, Timer
from streamvlm_ros.engine import StreamSettings, VideoStreamingInference

SIDE, FRAMES = 448, 4
QUESTION = 'Which of them is nearest to the red box?'
CHOICES = (2, 4, 26)
WARM, TIMES = 4, 15


@torch.inference_mode()
def measure(name: str, arguments: Any) -> list[dict[str, Any]]:
    """Return a row for every length and number of choices."""
    # Parameters that are joined later must not be inference tensors.
    with torch.inference_mode(False):
        model, processor = build(name, arguments.device, harness.DTYPES[arguments.dtype])
    lengths = sorted(arguments.cached)
    engine = VideoStreamingInference(
        model,
        processor,
        settings=StreamSettings(
            sample_rate=0.0,
            chunk_frames=FRAMES,
            max_pixels=arguments.side**2,
            min_pixels=arguments.side**2,
            memory_tokens=lengths[-1] + 4096,
        ),
    )
    images = np.random.default_rng(0).integers(
        0, 256, (FRAMES, arguments.side, arguments.side, 3), np.uint8
    )
    timed, stamp, rows = Timer(arguments.device), 0, []
    for cached in lengths:
        while engine.get_cache_info().tokens < cached:
            for image in images:
                stamp += 250_000_000
                engine.append_frame(image, stamp)
        for choices in CHOICES:
            given = [f'number {letter}' for letter in string.ascii_uppercase[:choices]]
            low, median, high = quartiles(
                timed(functools.partial(engine.ask_choice, QUESTION, given), TIMES, WARM)
            )
            rows.append(
                {
                    'model': name,
                    'cached': engine.get_cache_info().tokens,
                    'choices': choices,
                    'ms': median,
                    'quartiles': f'{low} to {high}',
                }
            )
    return rows


def main(argv: list[str] | None = None) -> None:
    """Measure and write ``results/choosing``."""
    made = card.parser(__doc__ or '')
    made.add_argument('--cached', nargs='+', type=int, default=[8192, 65536])
    made.add_argument('--side', type=int, default=SIDE, help='of the square frames, in pixels')
    arguments = made.parse_args(argv)
    rows: list[dict[str, Any]] = []
    for name in arguments.dimensions:
        rows += measure(name, arguments)
        card.free(arguments.device)
    harness.write('choosing', {**card.describe(arguments), 'rows': rows}, rows, arguments.out)


if __name__ == '__main__':
    main()
