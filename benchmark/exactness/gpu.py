# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
How exact the engine is on a GPU.

    python -m benchmark.exactness.gpu --clips 500 --processes 14

Random models of several shapes in bfloat16: how far their logits are from float32's, compared
with stock transformers', and whether greedy answers of 50 tokens equal float32's if float32 is
sure of them. Then the embedded model: whether its answers on held-out scenes equal the CPU's. TF32
is off, because it would round the reference.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import torch

from benchmark.common import card, harness
from benchmark.exactness.random_models import Case, SHAPES, SIZES
from benchmark.exactness.tiny import scenes, Tally


def check_random(arguments: Any, result: dict[str, Any]) -> None:
    """Check the random models."""
    for shape in arguments.shapes:
        case = Case(shape, arguments.device, harness.DTYPES[arguments.dtype])
        for size in SIZES:
            with torch.inference_mode():
                case.show(size)
                row = {
                    'shape': shape,
                    'frames': f'{size[1]}x{size[0]}',
                    **case.logits(),
                    **case.answers(),
                }
            result['random'].append(row)
            print(row, flush=True)
            harness.write('exactness_gpu', result, result['random'], arguments.out, show=False)
        del case
        card.free(arguments.device)


def check_tiny(arguments: Any, result: dict[str, Any]) -> None:
    """Check the embedded model."""
    tally = {dtype: Tally() for dtype in arguments.tiny_dtypes}
    began = time.perf_counter()
    for number, found in enumerate(
        scenes(arguments.clips, arguments.processes, arguments.device, arguments.tiny_dtypes), 1
    ):
        for dtype, each in found.items():
            tally[dtype].add(each)
        if number % 20 == 0 or number == arguments.clips:
            result['tiny'] = {dtype: dataclasses.asdict(each) for dtype, each in tally.items()}
            harness.write('exactness_gpu', result, result['random'], arguments.out, show=False)
            print(
                f'{time.perf_counter() - began:.0f} s',
                {
                    dtype: {k: v for k, v in each.items() if k != 'different'}
                    for dtype, each in result['tiny'].items()
                },
                flush=True,
            )


def main(argv: list[str] | None = None) -> None:
    """Check as the command line says, and write ``results/exactness_gpu``."""
    made = card.parser(__doc__ or '')
    made.add_argument(
        '--shapes',
        nargs='*',
        choices=list(SHAPES),
        default=[shape for shape in SHAPES if shape != 'toy'],
    )
    made.add_argument('--clips', type=int, default=500, help='held-out scenes')
    made.add_argument('--processes', type=int, default=14, help='for the embedded model')
    made.add_argument('--tiny-dtypes', nargs='+', default=['bfloat16', 'float32'])
    arguments = made.parse_args(argv)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    result: dict[str, Any] = {**card.describe(arguments), 'random': []}
    check_random(arguments, result)
    if arguments.clips:
        check_tiny(arguments, result)


if __name__ == '__main__':
    main()
