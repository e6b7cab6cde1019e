# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
10,000 chunks with questions in between: whether memory grows and answers drift.

    python -m benchmark.memory.long_run --dimensions 3B --chunks 10000

Random weights, frames of 112 x 112 (16 tokens for two), a window of 2,048 tokens; positions are
counted anew every 2,000 seconds. The memory of the device and of the
process is measured now and then. Drift has two parts:

- At some moments a young stream of the newest windows is compared with the old one, by the choice
  probabilities of some questions and by greedy answers. Kept frames still carry what they once
  attended to, so the two differ a little at every age; drift would grow with age.
- At the end the old engine is reset and shown the same as a new one: both must give the same
  answers, to the last bit if the device is deterministic.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
import time
from typing import Any

import numpy as np
import torch

from benchmark.common import card, harness
from benchmark.common.dimensions import build
from streamvlm_ros.engine import StreamSettings, VideoStreamingInference
from streamvlm_ros.stamps import NANOSECONDS

SIDE, TOKENS_A_CHUNK, WINDOW, ANSWER = 112, 32, 2048, 16
YOUNG_CHUNKS = 3 * WINDOW // TOKENS_A_CHUNK
QUESTIONS = ('What is in front of the robot?', 'Is the light on?', 'Where did the box go?')
CHOICES = ('yes', 'no', 'left', 'right', 'red', 'blue', 'one', 'two')


class Film:
    """Frames by their number; every one is another, and the same whenever it is shown."""

    def __init__(self) -> None:
        """Draw what the frames are put together from."""
        self._pieces = np.random.default_rng(0).integers(0, 256, (97, SIDE, SIDE, 3), np.uint8)

    def show(self, engine: VideoStreamingInference, chunk: int) -> None:
        """Append one chunk: 4 frames, a second long."""
        for number in range(4 * chunk, 4 * chunk + 4):
            self.show_one(engine, number)

    def show_one(self, engine: VideoStreamingInference, number: int) -> None:
        """Append one frame."""
        frame = np.roll(self._pieces[number % 97], number // 97, axis=number % 2)
        engine.append_frame(frame, (1 + number) * NANOSECONDS // 4)


@dataclasses.dataclass(frozen=True)
class Said:
    """What an engine answers: log-probabilities of the choices, and greedy answers."""

    scores: np.ndarray
    texts: tuple[str, ...]

    def held_to(self, other: Said) -> dict[str, float]:
        """Return how far apart two are."""
        apart = np.abs(self.scores - other.scores)
        return {
            'mean_apart': float(apart.mean()),
            'most_apart': float(apart.max()),
            'spread': float(self.scores.std()),
            'same_texts': sum(a == b for a, b in zip(self.texts, other.texts)) / len(self.texts),
        }


def ask(engine: VideoStreamingInference) -> Said:
    """Ask everything."""
    scores = [
        [math.log(p) for p in engine.ask_choice(question, CHOICES).probabilities]
        for question in QUESTIONS
    ]
    return Said(np.array(scores), tuple(engine.ask(question, ANSWER)[0] for question in QUESTIONS))


def memory(device: str) -> dict[str, float]:
    """Return what is held, in MB: by the process, and allocated and reserved on the device."""
    lines = pathlib.Path('/proc/self/status').read_text(encoding='utf-8').splitlines()
    found = {'rss': int(next(x for x in lines if x.startswith('VmRSS')).split()[1]) / 1e3}
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize()
        found |= {
            'allocated': torch.cuda.memory_allocated() / 1e6,
            'reserved': torch.cuda.memory_reserved() / 1e6,
        }
    return found


def growth(samples: list[dict[str, float]]) -> dict[str, float]:
    """Return how much more was held in the last fifth than in the second, in MB."""
    fifth = max(1, len(samples) // 5)
    return {
        key: round(
            max(s[key] for s in samples[-fifth:])
            - max(s[key] for s in samples[fifth : 2 * fifth] or samples[:1]),
            3,
        )
        for key in samples[0]
        if key not in ('chunk', 'seconds')
    }


def make(model: tuple[Any, Any]) -> VideoStreamingInference:
    """Return an engine with a window."""
    return VideoStreamingInference(
        *model,
        settings=StreamSettings(sample_rate=0.0, memory_tokens=WINDOW, rebase_position=4096),
    )


def run(name: str, arguments: Any) -> dict[str, Any]:
    """Stream, ask and look; return what was found."""
    model = build(name, arguments.device, harness.DTYPES[arguments.dtype])
    film, engine = Film(), make(model)
    moments = {round(share * arguments.chunks) for share in (0.05, 0.25, 0.5, 0.75, 1.0)}
    samples: list[dict[str, float]] = []
    drift: list[dict[str, float]] = []
    found: dict[str, Any] = {
        'model': name,
        'chunks': arguments.chunks,
        'memory_mb': samples,
        'drift': drift,
    }
    began = time.perf_counter()
    for chunk in range(arguments.chunks):
        film.show(engine, chunk)
        done = chunk + 1
        if done % arguments.ask_every == 0:
            engine.ask(QUESTIONS[chunk % len(QUESTIONS)], ANSWER)
            engine.ask_choice(QUESTIONS[0], CHOICES)
        if done in moments:
            old = ask(engine)
            young = make(model)
            for earlier in range(max(0, done - YOUNG_CHUNKS), done):
                film.show(young, earlier)
            drift.append({'chunk': float(done)} | old.held_to(ask(young)))
            del young
            print(drift[-1], flush=True)
        if done % arguments.look_every == 0:
            seconds = round(time.perf_counter() - began, 1)
            samples.append({'chunk': done, 'seconds': seconds} | memory(arguments.device))
            print(samples[-1], flush=True)
            harness.write('long_run', {**card.describe(arguments), **found}, [], arguments.out)
    found['growth_mb'] = growth(samples)
    engine.reset()
    new = make(model)
    for chunk in range(YOUNG_CHUNKS):
        for each in (engine, new):
            film.show(each, chunk)
    found['after_reset'] = ask(engine).held_to(ask(new))
    found['evicted_tokens'] = engine.get_cache_info().evicted_tokens
    return found


def main(argv: list[str] | None = None) -> None:
    """Measure and write ``results/long_run``."""
    made = card.parser(__doc__ or '')
    made.add_argument('--chunks', type=int, default=10_000)
    made.add_argument('--ask-every', type=int, default=50, help='chunks')
    made.add_argument('--look-every', type=int, default=250, help='chunks')
    made.set_defaults(dimensions=['3B'])
    arguments = made.parse_args(argv)
    if len(arguments.dimensions) != 1:
        made.error('One model at a time: what is held must be its own.')
    found = run(arguments.dimensions[0], arguments)
    rows = [
        {
            'chunk': int(each['chunk']),
            'mean apart': each['mean_apart'],
            'most apart': each['most_apart'],
            'spread of the scores': each['spread'],
            'same answers': each['same_texts'],
        }
        for each in found['drift']
    ]
    harness.write('long_run', {**card.describe(arguments), **found}, rows, arguments.out)
    print(f'Growth in MB: {found["growth_mb"]}. After a reset: {found["after_reset"]}.')


if __name__ == '__main__':
    main()
