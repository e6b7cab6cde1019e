# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Holds the engine's streamed answers on held-out scenes to the stock model's, given all at once.

Offline is one pass of transformers' own classes over the whole video and every question. A free
answer is the offline one when each of its tokens, the end of turn included, is the likeliest
after the ones before; a choice when the same one is the most probable.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
import dataclasses
import functools
import json
import multiprocessing
import pathlib

import torch

from streamvlm_ros.engine import StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.models.processor import load_processor
from streamvlm_ros.engine.models.registry import load_model
from streamvlm_ros.scenes.scene import HELD_OUT_SEED
from training.batches import collate
from training.data import Clip, ClipSpec, Packer
from training.evaluate import STANDARD
from training.network import answer_logits, load_stock, run_model

MAX_ANSWER_TOKENS = 24
PART = 12  # clips that a process checks at a time


@dataclasses.dataclass
class Tally:
    """How many questions were asked, answered as offline, and answered truly."""

    free: int = 0
    free_as_offline: int = 0
    free_true: int = 0
    choice: int = 0
    choice_as_offline: int = 0
    choice_true: int = 0
    largest_probability_difference: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        """Return both together."""
        both = Tally(**{name: value + getattr(other, name) for name, value in vars(self).items()})
        both.largest_probability_difference = max(
            self.largest_probability_difference, other.largest_probability_difference
        )
        return both


class Checker:
    """The engine and the stock model side by side."""

    def __init__(self, folder: pathlib.Path, spec: ClipSpec) -> None:
        """Load the folder twice: for the engine, and as transformers would."""
        self.packer, self.spec, self.tally = Packer(folder), spec, Tally()
        self._processor = load_processor(folder)
        self._model = load_model(folder, dtype='float32')
        self._stock = load_stock(folder).eval()
        self._engine = VideoStreamingInference(
            self._model,
            self._processor,
            settings=(StreamSettings(sample_rate=0.0, chunk_frames=spec.chunk_frames)),
        )

    def check(self, seed: int) -> None:
        """Stream the scene of a seed, ask everything, and compare."""
        spec = dataclasses.replace(self.spec, seed=seed)
        clip = self.packer.pack(spec, every_choice=True)
        self._engine.reset()
        for frame, stamp in zip(clip.frames, clip.stamps_ns):
            self._engine.append_frame(frame, 1_000_000_000 + stamp)
        free = [b for b in clip.branches if not b.is_choice]
        answers = [self._engine.ask(b.question.text, MAX_ANSWER_TOKENS)[0] for b in free]
        trunk = self.packer.trunk(spec, clip.stamps_ns)
        last = len(trunk.stops) - 1
        streamed = Clip(
            **vars(clip)
            | vars(
                self.packer.lay_out(
                    trunk,
                    [(last, b.question, False, (answer,)) for b, answer in zip(free, answers)],
                )
            )
        )
        tally = self.tally
        for branch, answer, scores in zip(free, answers, self._offline(streamed)):
            tally.free += 1
            tally.free_as_offline += all(best for best, _ in scores)
            tally.free_true += answer == branch.question.answer
        choices = [b for b in clip.branches if b.is_choice]
        offline = dataclasses.replace(clip, branches=choices)
        for branch, scores in zip(choices, self._offline(offline)):
            choice = self._engine.ask_choice(branch.question.text, list(branch.choices))
            probabilities = torch.tensor([score for _, score in scores]).softmax(-1)
            tally.choice += 1
            tally.choice_as_offline += int(probabilities.argmax()) == choice.index
            tally.choice_true += choice.text == branch.question.answer
            tally.largest_probability_difference = max(
                tally.largest_probability_difference,
                float((probabilities - torch.tensor(choice.probabilities)).abs().max()),
            )

    def _offline(self, clip: Clip) -> list[list[tuple[bool, float]]]:
        """Return for every branch and span: whether it is the greedy one, its log-probability."""
        batch = collate([clip], self.spec.grid)
        with torch.inference_mode():
            outputs = run_model(self._stock, batch, self._processor.pixels)
            logits, labels, place = answer_logits(self._stock, outputs.hidden, batch)
        best = logits.argmax(-1) == labels
        logp = logits.log_softmax(-1).gather(1, labels[:, None])[:, 0]
        row = {int(p): i for i, p in enumerate(place[:, 1])}

        def span(first: int, end: int) -> tuple[bool, float]:
            rows = slice(row[first], row[end - 1] + 1)
            return bool(best[rows].all()), float(logp[rows].sum())

        return [[span(*ends) for ends in branch.spans] for branch in clip.branches]


def check_part(folder: pathlib.Path, clips: range) -> Tally:
    """Check the held-out scenes of these numbers."""
    torch.set_num_threads(1)
    checker = Checker(folder, STANDARD)
    for number in clips:
        checker.check(HELD_OUT_SEED + STANDARD.frames * 100_000 + number)
    return checker.tally


def main() -> None:
    """Check as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--model', type=pathlib.Path, default=pathlib.Path('streamvlm_ros/models/tiny')
    )
    parser.add_argument('--clips', type=int, default=500)
    parser.add_argument(
        '--out', type=pathlib.Path, default=pathlib.Path('training/results/streaming.json')
    )
    parser.add_argument('--processes', type=int, default=1)
    a = parser.parse_args()
    parts = [range(first, min(first + PART, a.clips)) for first in range(0, a.clips, PART)]
    tally = Tally()
    with ProcessPoolExecutor(a.processes, multiprocessing.get_context('spawn')) as pool:
        for part in pool.map(functools.partial(check_part, a.model), parts):
            tally += part
            print(dataclasses.asdict(tally), flush=True)
    result = {
        'command': f'python -m training.stream_check --model {a.model} --clips {a.clips}',
        **dataclasses.asdict(tally),
    }
    a.out.write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')
    print(result)


if __name__ == '__main__':
    main()
