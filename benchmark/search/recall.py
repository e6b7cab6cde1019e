# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
How often the moments of "When did you last see a C S?" are among those that the index proposes.

    python -m benchmark.search.recall --scenes 150

Drawn scenes of 12 s at 2 fps follow each other; a moment is a temporal patch, a second. A question
counts as answered if one of its scene's moments with the thing is among the 50 nearest. Other
scenes with a thing of that name are taken out, so that it is seen in one scene only. Beside it: 50
drawn at random, and the newest 50.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from benchmark.common import harness
from streamvlm_ros.engine import load_streams, StreamSettings
from streamvlm_ros.scenes.scene import HELD_OUT_SEED, make_scene

COUNT = 50
QUESTION = 'When did you last see a {}?'


def moments(scenes: int) -> tuple[np.ndarray, list[tuple[int, dict[str, float]]], Any]:
    """Return vectors [n, d]; the scene of each and what part of things shows; the embedder."""
    [engine] = load_streams('tiny', [StreamSettings()], device='cpu', dtype='float32')
    own = engine.questions.embedder()
    vectors, truth = [], []
    for number in range(scenes):
        scene = make_scene(HELD_OUT_SEED + 7000 + number, seconds=12.0, fps=2.0)
        for start in range(0, len(scene.frames) - 1, 2):
            vectors.append(own.pictures(scene.frames[start : start + 2]))
            parts = {
                thing.name: min(
                    float(scene.visible_part(thing, at)) for at in scene.times[start : start + 2]
                )
                for thing in scene.things
            }
            truth.append((number, parts))
    return np.stack(vectors), truth, own


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--scenes', type=int, default=150)
    arguments = parser.parse_args()
    vectors, truth, own = moments(arguments.scenes)
    rng = np.random.default_rng(0)
    hits: dict[str, list[bool]] = {'own': [], 'random': [], 'newest': []}
    for name in sorted({name for _, parts in truth for name in parts}):
        scores = {
            'own': vectors @ own.question(QUESTION.format(name)),
            'random': rng.random(len(vectors)),
            'newest': np.arange(len(vectors), dtype=float),
        }
        without = np.array([name not in parts for _, parts in truth])
        for number in {number for number, _ in truth}:
            there = np.array([s == number and p.get(name, 0.0) >= 0.6 for s, p in truth])
            if there.any():
                for how, score in scores.items():
                    before = (score[without] >= score[there].max()).sum()
                    hits[how].append(bool(before < COUNT))
    rows = [
        {
            'candidates': how,
            f'recall@{COUNT}': round(float(np.mean(found)), 3),
            'questions': len(found),
            'moments': len(vectors),
        }
        for how, found in hits.items()
    ]
    harness.write('search_recall', {'rows': rows}, rows)


if __name__ == '__main__':
    main()
