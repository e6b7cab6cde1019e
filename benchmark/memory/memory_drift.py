# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
How far eviction and re-basing move answers, by window length.

    python -m benchmark.memory.memory_drift --model tiny --scenes 6 --windows 10 20 40

Held-out scenes are streamed while all possible questions are asked now and then. Four streams are
compared with each other:

- whole: nothing is ever evicted;
- window: `memory_seconds`, never re-based;
- rebased: the same, re-based about once a window length;
- fresh: a new stream of only the frames in the window.

A comparison is the share of greedy answers that are equal, the mean absolute difference of the
first token's logits, and half the sum of the absolute differences of its probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from benchmark.common import harness
from streamvlm_ros.engine import VideoStreamingInference
from streamvlm_ros.scenes.questions import Question, questions_for
from streamvlm_ros.scenes.scene import HELD_OUT_SEED, make_scene, Scene

FPS = 2.0
TOKENS = 16
COMPARED = (
    ('window', 'whole'),
    ('window', 'fresh'),
    ('rebased', 'window'),
    ('rebased', 'whole'),
    ('fresh', 'whole'),
)
# A moment of a scene, by its number, and a question's place among those of the moment.
Key = tuple[int, int, int]
Answers = dict[Key, tuple[str, torch.Tensor]]


def ask(engine: VideoStreamingInference, model: Any, question: str) -> tuple[str, torch.Tensor]:
    """Return the greedy answer and the logits of its first token."""
    seen: list[torch.Tensor] = []
    logits = model.logits

    def noting(hidden: torch.Tensor) -> torch.Tensor:
        seen.append(logits(hidden)[-1])
        return logits(hidden)

    model.logits = noting
    try:
        text = engine.ask(question, TOKENS)[0]
    finally:
        del model.logits
    return text, seen[0]


class Measurement:
    """One set of scenes, streamed again and again."""

    def __init__(self, arguments: Any) -> None:
        """Load the model, draw the scenes and collect the questions."""
        self.arguments = arguments
        self.model = harness.load_model(arguments)
        self.scenes: list[Scene] = [
            make_scene(
                HELD_OUT_SEED + 800_000 + number,
                seconds=arguments.seconds,
                fps=FPS,
                size=(arguments.width, arguments.height),
            )
            for number in range(arguments.scenes)
        ]
        self.moments = range(arguments.every, int(arguments.seconds), arguments.every)
        self.questions: dict[Key, Question] = {
            (s, m, i): question
            for s, scene in enumerate(self.scenes)
            for m in self.moments
            for i, question in enumerate(questions_for(scene, float(m)))
        }

    def stream(self, **settings: Any) -> tuple[Answers, dict[str, int]]:
        """Stream all scenes with these settings; return the answers and what was done for it."""
        answers: Answers = {}
        done = {'evicted_tokens': 0, 'rebased': 0, 'prefix': 0}
        for s, scene in enumerate(self.scenes):
            engine = harness.make_engine(
                self.model, sample_rate=0.0, capacity=self.arguments.capacity, **settings
            )
            waiting = list(self.moments)
            for image, stamp, seconds in zip(scene.frames, scene.stamps_ns, scene.times):
                while waiting and seconds > waiting[0]:
                    answers.update(self._asked(engine, s, waiting.pop(0)))
                engine.append_frame(image, stamp)
            done['evicted_tokens'] += engine.get_cache_info().evicted_tokens
            done['rebased'] += engine.stream.cache.rebased
            done['prefix'] = engine.stream.cache.entries[0].tokens
        return answers, done

    def fresh(self, window: float) -> Answers:
        """Stream only what a window has kept at every moment, each time into a new stream."""
        answers: Answers = {}
        for s, scene in enumerate(self.scenes):
            for m in self.moments:
                seen = [i for i, seconds in enumerate(scene.times) if seconds <= m]
                stamps = [scene.stamps_ns[i] for i in seen]
                kept = harness.make_engine(
                    self.model,
                    sample_rate=0.0,
                    memory_seconds=window,
                    capacity=self.arguments.capacity,
                    rebase_position=10**9,
                )
                for i, stamp in zip(seen, stamps):
                    kept.append_frame(scene.frames[i], stamp)
                kept.ask('What?', 1)
                oldest = kept.get_cache_info().oldest_stamp_ns
                engine = harness.make_engine(
                    self.model,
                    sample_rate=0.0,
                    rebase_position=10**9,
                    capacity=self.arguments.capacity,
                )
                for i, stamp in zip(seen, stamps):
                    if stamp >= oldest:
                        engine.append_frame(scene.frames[i], stamp)
                answers.update(self._asked(engine, s, m))
        return answers

    def right(self, answers: Answers) -> float:
        """Return the share of answers that are the generator's truth."""
        return sum(text == self.questions[key].answer for key, (text, _) in answers.items()) / len(
            answers
        )

    def _asked(self, engine: VideoStreamingInference, scene: int, moment: int) -> Answers:
        return {
            key: ask(engine, self.model[0], question.text)
            for key, question in self.questions.items()
            if key[:2] == (scene, moment)
        }


def compare(one: Answers, other: Answers) -> dict[str, float]:
    """Return how far two sets of answers to the same questions are apart."""
    assert one.keys() == other.keys()
    logits = [torch.stack([answers[key][1] for key in one]) for answers in (one, other)]
    probabilities = [each.softmax(-1) for each in logits]
    return {
        'same_answer': sum(one[key][0] == other[key][0] for key in one) / len(one),
        'logit_distance': float((logits[0] - logits[1]).abs().mean()),
        'probability_moved': float((probabilities[0] - probabilities[1]).abs().sum(-1).mean() / 2),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write ``results/memory_drift``."""
    made = harness.parser(__doc__ or '')
    made.set_defaults(capacity=16384)
    made.add_argument('--scenes', type=int, default=6)
    made.add_argument('--seconds', type=float, default=100.0, help='length of a scene')
    made.add_argument('--every', type=int, default=24, help='seconds between moments of asking')
    made.add_argument('--windows', type=float, nargs='+', default=[5.0, 10.0, 20.0, 40.0])
    arguments = made.parse_args(argv)
    torch.set_num_threads(1)
    measurement = Measurement(arguments)
    whole, of_whole = measurement.stream(rebase_position=10**9)
    rows, windows = [], []
    rate = measurement.model[0].config.vision_config.tokens_per_second
    for window in arguments.windows:
        # Positions are counted anew when the window has moved by its own length.
        largest = round(of_whole['prefix'] + 2 * window * rate)
        streams = {'whole': whole, 'fresh': measurement.fresh(window)}
        streams['window'], evicted = measurement.stream(
            memory_seconds=window, rebase_position=10**9
        )
        streams['rebased'], rebased = measurement.stream(
            memory_seconds=window, rebase_position=largest
        )
        compared = {f'{a}, {b}': compare(streams[a], streams[b]) for a, b in COMPARED}
        right = {name: measurement.right(answers) for name, answers in streams.items()}
        windows.append(
            {
                'window_s': window,
                'evicted_tokens': evicted['evicted_tokens'],
                'times_rebased': rebased['rebased'],
                'right': right,
                'compared': compared,
            }
        )
        rows += [
            {
                'window (s)': f'{window:g}',
                'compared': name,
                'right': f'{right[a]:.3f}, {right[b]:.3f}',
                **values,
            }
            for (a, b), (name, values) in zip(COMPARED, compared.items())
        ]
    harness.write(
        'memory_drift',
        {
            **harness.machine(arguments),
            'scenes': arguments.scenes,
            'seconds': arguments.seconds,
            'questions': len(whole),
            'windows': windows,
        },
        rows,
    )


if __name__ == '__main__':
    main()
