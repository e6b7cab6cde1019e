# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Pieces of benchmark.day's stream side by side, for a machine with many cores.

A quick look at a model: each process streams some scenes of the day into an engine of its own.
The day itself is one stream, and `python -m benchmark.day` is what measures it.
"""

from __future__ import annotations

import argparse
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
import dataclasses
import itertools
import json
import multiprocessing
import pathlib
from typing import Any

import torch

from benchmark import setup
from benchmark.day import Day, SCENE_S


@dataclasses.dataclass(frozen=True)
class Piece:
    """Some scenes of the day, from `first` on."""

    model: str
    first: int
    scenes: int

    def run(self) -> tuple[int, list[dict[str, Any]]]:
        """Stream them; return how many questions were asked, and those answered wrongly."""
        torch.set_num_threads(1)
        arguments = setup.parser('').parse_args(['--model', self.model])
        engine = setup.make_engine(setup.load_model(arguments), capacity=arguments.capacity,
                                   sample_rate=0.0, memory_seconds=SCENE_S)
        day = Day(engine, 4.0, (112, 84))
        for number in range(self.first, self.first + self.scenes):
            day.run_scene(number)
        return day.asked, day.wrong


def main() -> None:
    """Run the pieces and write what was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--model', default='streamvlm_ros/models/tiny')
    parser.add_argument('--out', type=pathlib.Path, required=True)
    parser.add_argument('--processes', type=int, default=14)
    parser.add_argument('--scenes', type=int, default=90, help='scenes in a piece')
    a = parser.parse_args()
    # Spread over the day, each piece beginning before an hour that the others do not have.
    firsts = range(120, 120 + a.processes * 2 * a.scenes, 2 * a.scenes)
    pieces = [Piece(a.model, first, a.scenes) for first in firsts]
    with ProcessPoolExecutor(a.processes, multiprocessing.get_context('spawn')) as pool:
        done = list(pool.map(Piece.run, pieces))
    wrong = list(itertools.chain.from_iterable(each for _, each in done))
    asked = sum(count for count, _ in done)
    result = {'model': a.model, 'pieces': a.processes, 'scenes': a.scenes, 'questions': asked,
              'right': asked - len(wrong), 'wrong': wrong}
    a.out.write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')
    print(f'{asked - len(wrong)} of {asked} right;',
          Counter(each['truth'] for each in wrong).most_common(5))


if __name__ == '__main__':
    main()
