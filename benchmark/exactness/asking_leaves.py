# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether asking leaves every byte of a stream: one that is asked beside one that is not.

    python -m benchmark.exactness.asking_leaves --dimensions 3B 7B --chunks 400

Random weights, a window that is full most of the time and is re-based. Both streams
are shown the same frames; about one of them questions are asked, choices are scored and watches
are looked at all the time, and some answers stay open while frames come. After every chunk the
cached keys and values of both are compared to the last bit, and where they are.
"""

from __future__ import annotations

import random
import time
from typing import Any

import torch

from benchmark.common import card, harness
from benchmark.common.dimensions import build
from benchmark.memory.long_run import CHOICES, Film, QUESTIONS
from streamvlm_ros.engine import StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.errors import StillReadError


class Asker:
    """Asks about a stream at random, and keeps some answers open."""

    def __init__(self, engine: VideoStreamingInference, seed: int) -> None:
        """Ask about ``engine``."""
        self.engine, self.counts = engine, {'asked': 0, 'waited': 0}
        self._rng = random.Random(seed)
        self._open: list[Any] = []
        engine.watch('Is it there?', CHOICES[:2], threshold=0.1)

    def show(self, film: Film, chunk: int) -> None:
        """Append a chunk; where open answers keep it out, end the oldest and try again."""
        for number in range(4 * chunk, 4 * chunk + 4):
            while True:
                try:
                    film.show_one(self.engine, number)
                    break
                except StillReadError:
                    self.counts['waited'] += 1
                    self.engine.questions.abandon(self._open.pop(0))
            self._ask()

    def _ask(self) -> None:
        questions, action = self.engine.questions, self._rng.random()
        question = self._rng.choice(QUESTIONS) * self._rng.choice((1, 1, 1, 30))
        try:
            if action < 0.1:
                self.engine.ask(question, 4)
            elif action < 0.25:
                self.engine.ask_choice(question, CHOICES)
            elif action < 0.35 and len(self._open) < 4:
                self._open.append(questions.begin(question, 64))
            elif action < 0.7:
                for each in self._open:
                    questions.advance(each)
                questions.decode([each for each in self._open if not each.ended])
            elif action < 0.8:
                self.engine.score_watches()
            else:
                return
        except StillReadError:
            return
        self.counts['asked'] += 1


def differing(one: VideoStreamingInference, other: VideoStreamingInference) -> int:
    """Return how many numbers of what is cached differ; -1: what is cached is not the same."""
    mine, theirs = one.stream.cache, other.stream.cache
    entries = [
        [
            (entry.spans, entry.first, entry.info, entry.positions.tolist())
            for entry in cache.entries
            if entry.positions is not None
        ]
        for cache in (mine, theirs)
    ]
    if entries[0] != entries[1] or one.stream.state != other.stream.state:
        return -1
    found = 0
    for layer in range(len(mine.keys)):
        for a, b in zip(
            mine.buffer.views(layer, mine.spans), theirs.buffer.views(layer, theirs.spans)
        ):
            found += sum(int((x != y).sum()) for x, y in zip(a, b))
    return found


def run(name: str, arguments: Any) -> dict[str, Any]:
    """Stream and compare; return what was found."""
    model = build(name, arguments.device, harness.DTYPES[arguments.dtype])
    settings = StreamSettings(
        sample_rate=0.0, memory_tokens=arguments.window, slack=4, rebase_position=256
    )
    quiet, asked = (VideoStreamingInference(*model, settings=settings) for _ in range(2))
    film, asker = Film(), Asker(asked, 1)
    began, different, moved = time.perf_counter(), 0, 0
    for chunk in range(arguments.chunks):
        film.show(quiet, chunk)
        asker.show(film, chunk)
        if not asked.stream.cache.readers:
            asked.stream.catch_up()
        if not asked.stream.rebasing.put_off:
            found = differing(quiet, asked)
            different += found > 0
            moved += found < 0
    return {
        'model': name,
        'chunks': arguments.chunks,
        **asker.counts,
        'evicted tokens': quiet.get_cache_info().evicted_tokens,
        'counted anew': quiet.stream.cache.rebased,
        'chunks with other bytes': different,
        'chunks in other places': moved,
        'seconds': round(time.perf_counter() - began, 1),
    }


def main(argv: list[str] | None = None) -> int:
    """Compare and write ``results/asking_leaves``; 1: something has differed."""
    made = card.parser(__doc__ or '')
    made.add_argument('--chunks', type=int, default=400)
    made.add_argument('--window', type=int, default=1024, help='tokens')
    arguments = made.parse_args(argv)
    rows = []
    for name in arguments.dimensions:
        with torch.inference_mode():
            rows.append(run(name, arguments))
        print(rows[-1], flush=True)
        card.free(arguments.device)
        harness.write(
            'asking_leaves', {**card.describe(arguments), 'rows': rows}, rows, arguments.out
        )
    return int(
        any(row['chunks with other bytes'] or row['chunks in other places'] for row in rows)
    )


if __name__ == '__main__':
    raise SystemExit(main())
