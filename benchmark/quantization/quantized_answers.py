# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What 8 and 4 bits do to the embedded model's answers on held-out scenes.

    python -m benchmark.quantization.quantized_answers --scenes 40

Streamed as usual, in float32 on the CPU, so that nothing but the rounding of the decoder's
matrices differs. A model of 2.7 M parameters has less to spare than the ones this is made for.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from typing import Any

import numpy as np

from benchmark.common import harness
from benchmark.exactness.tiny import answer, engine, FIRST, Said, Shown
from streamvlm_ros.engine import resolve_model
from training.data import Clip, Packer
from training.evaluate import STANDARD

BITS = (16, 8, 4)


def count(row: dict[str, Any], clip: Clip, said: Said, full: Said) -> None:
    """Add to a row what is true, and what is said with all bits too."""
    free = [b.question.answer for b in clip.branches if not b.is_choice]
    choices = [(b.choices, b.question.answer) for b in clip.branches if b.is_choice]
    row['free'] += len(free)
    row['free true'] += sum(a == b for a, b in zip(said[0], free))
    row['free same'] += sum(a == b for a, b in zip(said[0], full[0]))
    row['choice'] += len(choices)
    row['choice true'] += sum(
        offered[int(np.argmax(given))] == true for given, (offered, true) in zip(said[1], choices)
    )
    row['choice same'] += sum(
        int(np.argmax(a)) == int(np.argmax(b)) for a, b in zip(said[1], full[1])
    )


def main(argv: list[str] | None = None) -> None:
    """Measure and write ``results/quantized_answers``."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument('--scenes', type=int, default=40)
    made.add_argument('--out', type=pathlib.Path, default=harness.RESULTS)
    arguments = made.parse_args(argv)
    packer = Packer(pathlib.Path(resolve_model('tiny')))
    engines = {bits: engine('cpu', 'float32') for bits in BITS}
    for bits in BITS[1:]:
        engines[bits].model.quantize(bits)
    names = ('free', 'free true', 'free same', 'choice', 'choice true', 'choice same')
    rows = {
        bits: {'bits': bits, 'scenes': arguments.scenes} | dict.fromkeys(names, 0) for bits in BITS
    }
    for seed in range(FIRST, FIRST + arguments.scenes):
        clip = packer.pack(dataclasses.replace(STANDARD, seed=seed), every_choice=True)
        shown = Shown.of(seed, clip)
        said = {bits: answer(each, shown) for bits, each in engines.items()}
        for bits, row in rows.items():
            count(row, clip, said[bits], said[16])
    harness.write(
        'quantized_answers',
        {'scenes': arguments.scenes, 'rows': list(rows.values())},
        list(rows.values()),
        arguments.out,
    )


if __name__ == '__main__':
    main()
