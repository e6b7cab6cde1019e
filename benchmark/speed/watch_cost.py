# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What watches cost: a chunk's time without any, with 1 and with 10, over a full cache.

    python -m benchmark.speed.watch_cost --model tiny --device cpu
"""

from __future__ import annotations

from collections.abc import Callable
import statistics
import time
from typing import Any

import torch

from benchmark.common import harness

QUESTIONS = (
    'Is there a person in the doorway?',
    'Is the box red?',
    'Where is the box?',
    'Is the gripper open?',
    'Is the light on?',
    'Which way does it move?',
    'Is the path clear?',
    'Is the door open?',
    'Is anything on the floor?',
    'Is it moving?',
)
CHOICES = (('yes', 'no'), ('yes', 'no'), ('left', 'right', 'middle'))


def main() -> None:
    """Measure and write ``results/watch_cost``."""
    made = harness.parser(__doc__ or '')
    made.add_argument('--chunks', type=int, default=60, help='chunks a row is the median of')
    arguments = made.parse_args()
    engine = harness.make_engine(
        harness.load_model(arguments), capacity=arguments.capacity, sample_rate=4.0
    )
    clip = harness.frames(arguments)
    seconds = 0.0

    def timed(work: Callable[[], object]) -> float:
        began = time.perf_counter()
        work()
        if torch.device(arguments.device).type == 'cuda':
            torch.cuda.synchronize()
        return 1e3 * (time.perf_counter() - began)

    def chunk() -> None:
        nonlocal seconds
        for _ in range(engine.settings.chunk_frames):
            engine.append_frame(clip[int(4 * seconds) % len(clip)], seconds)
            seconds += 0.25

    fill = 0
    while not engine.get_cache_info().evicted_tokens and fill < 10_000:
        chunk()
        fill += 1
    rows: list[dict[str, Any]] = []
    for count in (0, 1, 2, 5, 10):
        for i in range(len(engine.watches()), count):
            engine.watch(QUESTIONS[i], CHOICES[i % len(CHOICES)])
        chunk()
        engine.score_watches()
        tokens = sum(
            len(ids) + sum(len(choice) - 1 for choice in choices)
            for ids, choices in engine.standing._asked.values()
        )
        prefill, scoring = [], []
        for _ in range(arguments.chunks):
            prefill.append(timed(chunk))
            scoring.append(timed(engine.score_watches))
        base = rows[0]['chunk ms'] if rows else statistics.median(prefill)
        rows.append(
            {
                'watches': count,
                'tokens scored': tokens,
                'chunk ms': round(statistics.median(prefill), 2),
                'scoring ms': round(statistics.median(scoring), 2),
                'share of a chunk': f'{statistics.median(scoring) / base:.1%}',
            }
        )
    harness.write(
        'watch_cost',
        {
            **harness.machine(arguments),
            'cached_tokens': engine.get_cache_info().tokens,
            'chunks': arguments.chunks,
            'rows': rows,
        },
        rows,
    )


if __name__ == '__main__':
    main()
