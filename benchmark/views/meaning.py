# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether views really differ: `tiny` is asked about now and about the past, from each view.

    python -m benchmark.views.meaning --scenes 60

Held-out scenes; choice questions of `scenes.questions`. Questions about now have to be answered as
well from `now` as from `memory`, up to a tenth; questions about the past, which the last two
seconds do not settle, near chance from `now`. The exit code is 1 if they are not.
"""

from __future__ import annotations

import collections
import sys
from typing import Any

import torch

from benchmark.common import harness
from streamvlm_ros.scenes.questions import questions_for
from streamvlm_ros.scenes.scene import HELD_OUT_SEED, make_scene
from streamvlm_ros.view import ViewName

VIEWS: tuple[ViewName, ...] = ('memory', 'now', 'memory_and_now')
FPS, SECONDS = 4.0, 12.0


def ask(engine: Any, seed: int, counts: dict[str, collections.Counter[str]]) -> None:
    """Show a scene, and count the right answers of every view."""
    scene = make_scene(seed, seconds=SECONDS, fps=FPS)
    engine.reset()
    for frame, stamp_ns in zip(scene.frames, scene.stamps_ns):
        engine.append_frame(frame, stamp_ns)
    at = (scene.stamps_ns[-1] - scene.stamps_ns[0]) / 1e9
    for question in questions_for(scene, at):
        # What is seen now is not asked of what may have been seen long before.
        about = 'past' if question.past else 'now' if ' now' in question.text else ''
        if not about or question.family == 'unanswerable':
            continue
        counts[about]['asked'] += 1
        counts[about]['chance'] += 1 / len(question.choices)  # type: ignore[assignment]
        for view in VIEWS:
            chosen = engine.ask_choice(question.text, question.choices, view=view)
            counts[about][view] += chosen.text == question.answer


def main() -> int:
    """Ask; return the exit code."""
    parser = harness.parser(__doc__)
    parser.add_argument('--scenes', type=int, default=60)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    engine = harness.make_engine(harness.load_model(arguments), sample_rate=0.0)
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for seed in range(HELD_OUT_SEED, HELD_OUT_SEED + arguments.scenes):
        ask(engine, seed, counts)
    rows = [
        {
            'questions about': about,
            'asked': found['asked'],
            **{view: found[view] for view in VIEWS},
            'by chance': round(float(found['chance']), 1),
        }
        for about, found in sorted(counts.items())
    ]
    harness.write('views_meaning', {'command': ' '.join(sys.argv), 'rows': rows}, rows)
    now, past = counts['now'], counts['past']
    as_good = now['now'] >= now['memory'] - 0.1 * now['asked']
    blind = past['now'] <= past['chance'] + 0.15 * past['asked'] < past['memory']
    return 0 if as_good and blind else 1


if __name__ == '__main__':
    sys.exit(main())
