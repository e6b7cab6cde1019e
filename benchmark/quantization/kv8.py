# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The effect of a KV cache of 8 bits on answers, measured before building one.

    python -m benchmark.quantization.kv8 --scenes 60

In float32 on the CPU, so that only the rounding of stored values differs. Scales are powers of
two, one a layer for keys and one for values, by the largest value of a run without rounding: the
best that one scale a layer can be. A GPU's cache holds bf16.

- tiny: the embedded model on held-out scenes; its key biases are 0.8 at most.
- random: `biased_model` with key biases of several standard deviations, each drawn some times. The
  error is the relative error of the logits after questions, as the root mean square over the
  draws. A token is the most probable one after what the unrounded model has answered so far.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
import concurrent.futures
import dataclasses
import functools
import multiprocessing
import pathlib
from typing import Any

import numpy as np
import torch

from benchmark.common import harness
from benchmark.exactness.tiny import answer, engine, FIRST, Said, Shown
from benchmark.quantization import biased_model
from benchmark.quantization.kv8_random import random
from benchmark.quantization.quantized_answers import count
from benchmark.quantization.rounded_cache import Change, Largest, Rounding, stored, WAYS
from streamvlm_ros.engine import resolve_model
from training.data import Packer
from training.evaluate import STANDARD

PROCESSES = 2
COUNTED = ('free', 'free same', 'free true', 'choice', 'choice same', 'choice true')


def tiny(scenes: int) -> list[dict[str, Any]]:
    """Return the embedded model's answers for each way of rounding."""
    packer = Packer(pathlib.Path(resolve_model('tiny')))
    clips = [
        packer.pack(dataclasses.replace(STANDARD, seed=seed), every_choice=True)
        for seed in range(FIRST, FIRST + scenes)
    ]
    shown = [Shown.of(seed, clip) for seed, clip in enumerate(clips, FIRST)]
    largest = Largest()
    full = _said(shown, largest)
    rows = []
    for name, formats in {'float32': None, **WAYS}.items():
        rounding = Rounding(*formats, largest) if formats else None
        said = _said(shown, rounding) if rounding else full
        row: dict[str, Any] = {'stored': name, **dict.fromkeys(COUNTED, 0)}
        for clip, one, other in zip(clips, said, full):
            count(row, clip, one, other)
        given, true = (
            np.concatenate([x for _, each in answers for x in each]) for answers in (said, full)
        )
        rows.append(
            {
                **row,
                'probability moved': float(np.abs(given - true).max()),
                'log-probability moved': float(np.abs(np.log(given) - np.log(true)).max()),
                'saturated': rounding.saturated if rounding else 0,
            }
        )
        print(rows[-1], flush=True)
    return rows


def _said(shown: Iterable[Shown], change: Change) -> list[Said]:
    """Return all answers of an engine whose caches hold what a change makes of them."""
    on = engine('cpu', 'float32')
    with stored(change):
        return [answer(on, each) for each in shown]


def table(
    scenes: Sequence[dict[str, Any]],
    cases: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Return the rows of both parts, which have the same columns."""
    rows: list[dict[str, Any]] = []
    for row in scenes:
        same = {
            f'{kind} {what}': f'{row[f"{kind} {what}"]} of {row[kind]}'
            for kind in ('free', 'choice')
            for what in ('same', 'true')
        }
        moved = {name: row[name] for name in ('probability moved', 'log-probability moved')}
        rows.append(
            {
                'model': 'tiny',
                'stored': row['stored'],
                **same,
                **moved,
                'keys seen': '',
                'logit error': '',
                'tokens same': '',
            }
        )
    for bias in dict.fromkeys(case['bias'] for case in cases):
        drawn = [case for case in cases if case['bias'] == bias]
        for name in WAYS:
            found = [case['ways'][name] for case in drawn]
            tokens = sum(each['tokens same'] for each in found)
            errors = np.array([each['logit error'] for each in found])
            rows.append(
                dict.fromkeys(rows[0], '')
                | {
                    'model': f'random, biases {bias:g}',
                    'stored': name,
                    'keys seen': float(np.mean([case['keys seen'] for case in drawn])),
                    'logit error': float(np.sqrt(np.mean(errors**2))),
                    'tokens same': f'{tokens} of {sum(case["tokens"] for case in drawn)}',
                }
            )
    return rows


def main(argv: list[str] | None = None) -> None:
    """Measure and write ``results/kv8``."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument('--scenes', type=int, default=60)
    made.add_argument(
        '--biases',
        type=float,
        nargs='+',
        default=[0.0, 10.0, 50.0, 150.0],
        help='standard deviations of key biases',
    )
    made.add_argument('--draws', type=int, default=8, help='of each but 0')
    made.add_argument(
        '--query-bias', type=float, default=0.0, help="of queries' biases in the same channels"
    )
    made.add_argument(
        '--slowest',
        type=int,
        default=biased_model.SLOWEST,
        help='how many of the pairs of channels may get large biases',
    )
    made.add_argument('--out', type=pathlib.Path, default=harness.RESULTS)
    arguments = made.parse_args(argv)
    drawn = [
        (bias, draw) for bias in arguments.biases for draw in range(arguments.draws if bias else 1)
    ]
    with concurrent.futures.ProcessPoolExecutor(
        PROCESSES, multiprocessing.get_context('spawn'), torch.set_num_threads, (1,)
    ) as pool:
        scenes = pool.submit(tiny, arguments.scenes)
        cases = list(
            pool.map(
                functools.partial(random, query=arguments.query_bias, slowest=arguments.slowest),
                drawn,
            )
        )
        rows = scenes.result()
    harness.write(
        'kv8',
        {
            'torch': torch.__version__,
            'scenes': arguments.scenes,
            'query bias': arguments.query_bias,
            'slowest': arguments.slowest,
            'tiny': rows,
            'random': cases,
        },
        table(rows, cases),
        arguments.out,
    )


if __name__ == '__main__':
    main()
