# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Products with weights in 4 bits that have zero points, as AWQ publishes them, on a GPU.

    python -m benchmark.quantization.zero_points --dimensions 7B 3B

Each product of a decoded token: how far it is from float32's on the same values, beside the same
product without zero points, and what both take.  The exit code is 1 if a product is further off
than rounding to bfloat16 explains, or a matrix that was made wide has other values.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
from typing import Any

import torch
from torch.nn import functional

from benchmark.common import harness
from benchmark.quantization.tune_matmul import ENOUGH, products, random_weight

ROWS = (1, 16, 64, 512)
# Of the largest value: bfloat16 keeps 8 bits, and x of a gated product is rounded once more.
ALLOWED = 0.02


def with_zeros(weight: Any) -> Any:
    """Return the same numbers with random zero points, and scales in float16."""
    zero = torch.randint(-8, 8, weight.scale.shape, device='cuda', dtype=torch.int8)
    return dataclasses.replace(weight, scale=weight.scale.half(), zero=zero)


def product(x: torch.Tensor, weight: Any, gated: bool) -> torch.Tensor:
    """Multiply as the engine does."""
    from streamvlm_ros.engine.ops.kernels.dequantize import widen
    from streamvlm_ros.engine.ops.kernels.matmul.rows import MOST_ROWS, skinny_matmul
    from streamvlm_ros.engine.ops.kernels.pointwise import gate

    if len(x) <= MOST_ROWS:
        return skinny_matmul(x, weight, gated=gated)
    wide = functional.linear(x, widen(weight, x.dtype))
    return gate(wide) if gated else wide


def distance(x: torch.Tensor, weight: Any, gated: bool) -> float:
    """Return the largest difference from float32's product, of its largest value."""
    exact = functional.linear(x.float(), weight.dequantized(torch.float32))
    if gated:
        gates, up = exact.chunk(2, dim=-1)
        exact = functional.silu(gates) * up
    return float((product(x, weight, gated).float() - exact).abs().max() / exact.abs().max())


def microseconds(x: torch.Tensor, copies: list[Any], gated: bool) -> float:
    """Return what a product takes, in a graph of products with several copies of the weights."""
    for _ in range(2):
        product(x, copies[0], gated)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for weight in copies:
            product(x, weight, gated)
    times = []
    for _ in range(9):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(1e3 * begin.elapsed_time(end) / len(copies))
    return statistics.median(times[2:])


def check_wide(weight: Any) -> bool:
    """Tell whether a matrix that is made wide has the values of the formula, to the last bit."""
    from streamvlm_ros.engine.ops.kernels.dequantize import widen

    return all(
        torch.equal(widen(weight, dtype), weight.dequantized(dtype))
        for dtype in (torch.bfloat16, torch.float16)
    )


def main() -> int:
    """Measure, and write ``results/zero_points``; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--dimensions', nargs='+', default=['7B', '3B'])
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    rows, holds = [], True
    for dimensions in arguments.dimensions:
        for name, (columns, depth, kind) in products(dimensions).items():
            if name == 'head':
                continue
            gated = kind.get('gated', False)
            size = columns * (2 if gated else 1) * depth // 2
            plain = [random_weight(columns, depth, kind, 4) for _ in range(1 + ENOUGH // size)]
            zeros = [with_zeros(weight) for weight in plain]
            wide = check_wide(zeros[0])
            for count in ROWS:
                x = torch.randn(count, depth, device='cuda', dtype=torch.bfloat16)
                row = {
                    'dimensions': dimensions,
                    'product': name,
                    'rows': count,
                    'made wide': 'equal' if wide else 'differs',
                    'off': round(distance(x, zeros[0], gated), 5),
                    'off without zeros': round(distance(x, plain[0], gated), 5),
                    'us': round(microseconds(x, zeros, gated), 2),
                    'us without zeros': round(microseconds(x, plain, gated), 2),
                }
                holds &= wide and row['off'] < ALLOWED
                rows.append(row)
                print(row, flush=True)
    harness.write('zero_points', {'card': torch.cuda.get_device_name(), 'rows': rows}, rows)
    return 0 if holds else 1


if __name__ == '__main__':
    sys.exit(main())
