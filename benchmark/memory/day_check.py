# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Pieces of benchmark.memory.day's stream side by side, for a machine with many cores.

A quick look at a model: each process streams some scenes of the day into its engine,
two more before them. The day itself is one stream, and `python -m benchmark.memory.day` measures
it.
"""

from __future__ import annotations

import argparse
from collections import Counter
from concurrent.futures import as_completed, ProcessPoolExecutor
import dataclasses
import json
import multiprocessing
import pathlib
from typing import Any

import torch

from benchmark.common import harness
from benchmark.memory.day_scenes import SCENE_S, Scenes

LEAD = 2
DAY_SCENES = 2880


@dataclasses.dataclass(frozen=True)
class Piece:
    """Some scenes of the day, from `first` on."""

    model: str
    first: int
    scenes: int

    def run(self) -> Scenes:
        """Stream them; return what was asked and answered wrongly, without the engine."""
        torch.set_num_threads(1)
        arguments = harness.parser('').parse_args(['--model', self.model])
        engine = harness.make_engine(
            harness.load_model(arguments),
            capacity=arguments.capacity,
            sample_rate=0.0,
            memory_seconds=SCENE_S,
        )
        scenes = Scenes(engine, 4.0, (112, 84))
        for number in range(max(0, self.first - LEAD), self.first + self.scenes):
            if number == self.first:
                scenes.forget_answers()
            scenes.show(number, engine.append_frame)
        del scenes.engine
        return scenes


def main() -> None:
    """Run the pieces and write what was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--model', default='streamvlm_ros/models/tiny')
    parser.add_argument('--out', type=pathlib.Path, required=True)
    parser.add_argument('--processes', type=int, default=14)
    parser.add_argument('--scenes', type=int, default=90, help='scenes in a piece')
    parser.add_argument('--whole', action='store_true', help='pieces that are all of the day')
    a = parser.parse_args()
    # Else spread over the day, each piece beginning before an hour that the others do not have.
    firsts = (
        range(0, DAY_SCENES, a.scenes)
        if a.whole
        else range(120, 120 + a.processes * 2 * a.scenes, 2 * a.scenes)
    )
    asked = 0
    wrong: list[dict[str, Any]] = []
    ambiguous: list[dict[str, Any]] = []
    with ProcessPoolExecutor(a.processes, multiprocessing.get_context('spawn')) as pool:
        pieces = [
            pool.submit(Piece(a.model, first, min(a.scenes, DAY_SCENES - first)).run)
            for first in firsts
        ]
        for number, piece in enumerate(as_completed(pieces), 1):
            scenes = piece.result()
            asked += scenes.asked
            wrong += scenes.wrong
            ambiguous += scenes.ambiguous
            result = {
                'model': a.model,
                'pieces': number,
                'scenes': a.scenes,
                'questions': asked,
                'right': asked - len(wrong),
                'wrong': wrong,
                'ambiguous': {
                    'questions': len(ambiguous),
                    'otherwise': [each for each in ambiguous if each['answer'] != each['truth']],
                },
            }
            a.out.write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')
    print(
        f'{asked - len(wrong)} of {asked} right;',
        Counter(each['truth'] for each in wrong).most_common(5),
    )


if __name__ == '__main__':
    main()
