# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measures tiles of the matrix products of few rows, for the weights of the published dimensions.

    python -m benchmark.quantization.tune_matmul --rows 1 16 32 --bits 16 8 4

Each setting is timed in a CUDA graph of launches over several copies of the weights, which are
more than the cache holds. The best on average is set in ``engine/ops/kernels/matmul/rows.py``.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import multiprocessing
import pathlib
import statistics
from typing import Any

import torch
from torch.nn import functional

from benchmark.common.dimensions import TEXT
from benchmark.common.harness import RESULTS

ENOUGH = 4 * 10**8  # bytes of weights that a graph goes through
SINGLE = [
    (1, 2048, 4, 1),
    (2, 1024, 4, 1),
    (2, 2048, 4, 1),
    (4, 512, 4, 1),
    (4, 1024, 4, 1),
    (8, 512, 4, 1),
    (4, 1024, 8, 1),
    (8, 256, 4, 1),
    (2, 1024, 2, 1),
    (1, 1024, 2, 1),
]
SEVERAL = [
    (32, 128, 4, 6),
    (32, 128, 4, 4),
    (64, 128, 4, 4),
    (16, 256, 4, 5),
    (16, 128, 4, 6),
    (64, 64, 4, 6),
    (32, 256, 4, 3),
    (64, 128, 8, 3),
    (128, 64, 4, 4),
    (32, 64, 4, 8),
]
# By bits, for one row and for several. In 4 bits the depth is that of bytes.
TILES = {
    16: (SINGLE, SEVERAL),
    8: (
        [
            (4, 1024, 4, 1),
            (2, 2048, 4, 1),
            (4, 2048, 4, 1),
            (8, 1024, 4, 1),
            (8, 512, 4, 1),
            (2, 1024, 4, 1),
            (4, 512, 2, 1),
            (4, 2048, 8, 1),
        ],
        [
            (32, 128, 4, 4),
            (64, 128, 4, 4),
            (64, 128, 4, 6),
            (32, 256, 4, 4),
            (64, 256, 4, 3),
            (128, 128, 4, 4),
            (128, 128, 8, 4),
            (64, 64, 4, 6),
        ],
    ),
    4: (
        [
            (4, 1024, 4, 1),
            (4, 512, 4, 1),
            (8, 512, 4, 1),
            (2, 1024, 4, 1),
            (8, 256, 4, 1),
            (16, 256, 4, 1),
            (2, 2048, 4, 1),
            (4, 512, 2, 1),
        ],
        [
            (32, 128, 4, 4),
            (64, 128, 4, 3),
            (64, 128, 4, 4),
            (16, 128, 4, 4),
            (128, 128, 4, 3),
            (128, 128, 8, 3),
            (32, 128, 4, 3),
            (64, 128, 4, 2),
        ],
    ),
}


def products(dimensions: str) -> dict[str, tuple[int, int, dict[str, bool]]]:
    """Return columns, depth and kind of every product of a decoded token."""
    text = TEXT[dimensions]
    hidden, inner = text['hidden_size'], text['intermediate_size']
    head = hidden // text['num_attention_heads']
    return {
        'qkv': (
            hidden + 2 * text['num_key_value_heads'] * head,
            hidden,
            {'norm': True, 'bias': True},
        ),
        'out': (hidden, hidden, {'residual': True}),
        'gate_up': (inner, hidden, {'norm': True, 'gated': True}),
        'down': (hidden, inner, {'residual': True}),
        'head': (text['vocab_size'], hidden, {'norm': True}),
    }


def call(rows: int, columns: int, depth: int, kind: dict[str, bool]) -> Any:
    """Return a function of weights and a tile that runs a product on random numbers."""
    from streamvlm_ros.engine.ops.kernels.matmul.rows import skinny_matmul

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device='cuda', dtype=torch.bfloat16)

    x, bias, residual, norm = (
        random(rows, depth),
        random(columns),
        random(rows, columns),
        random(depth),
    )

    def run(weight: Any, tile: tuple[int, int, int, int]) -> torch.Tensor:
        return skinny_matmul(
            x,
            weight,
            tile=tile,
            epsilon=1e-6,
            gated=kind.get('gated', False),
            bias=bias if kind.get('bias') else None,
            residual=residual if kind.get('residual') else None,
            # Several rows are normed before.
            norm=norm if kind.get('norm') and rows == 1 else None,
        )

    return run


def random_weight(columns: int, depth: int, kind: dict[str, bool], bits: int) -> Any:
    """Return a random matrix of this many bits."""
    from streamvlm_ros.engine.ops.quantization import QuantizedWeight

    height = columns * (2 if kind.get('gated') else 1)
    if bits == 16:
        return torch.randn(height, depth, device='cuda', dtype=torch.bfloat16)
    numbers = torch.randint(
        -128, 128, (height, depth * bits // 8), device='cuda', dtype=torch.int8
    )
    scale = (
        torch.rand(height, 1 if bits == 8 else depth // 128, device='cuda', dtype=torch.bfloat16)
        / 128
    )
    return QuantizedWeight(numbers, scale, bits)


def measure(
    rows: int,
    columns: int,
    depth: int,
    kind: dict[str, bool],
    tiles: list[tuple[int, int, int, int]],
    bits: int,
) -> dict[str, float]:
    """Return each tile's microseconds, and beside them those that a copy of the bytes takes."""
    size = columns * (2 if kind.get('gated') else 1) * depth * bits // 8
    copies = [
        random_weight(columns, depth, kind, bits) for _ in range(1 + min(31, ENOUGH // size))
    ]
    run = call(rows, columns, depth, kind)
    x = torch.randn(rows, depth, device='cuda', dtype=torch.bfloat16)
    result: dict[str, float] = {}
    for tile in (*tiles, *([None] if bits == 16 else [])):
        try:
            product = (
                functools.partial(run, tile=tile)
                if tile
                else functools.partial(functional.linear, x)
            )
            product(copies[0])
        except Exception as error:  # more shared memory than there is
            print(tile, repr(error)[:80], flush=True)
            continue
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for weight in copies:
                product(weight)
        times = []
        for _ in range(7):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            graph.replay()
            end.record()
            end.synchronize()
            times.append(1e3 * begin.elapsed_time(end) / len(copies))
        result[str(tile or 'library, the product alone')] = round(statistics.median(times[2:]), 2)
    return result | {'read': round(size / 2.97e6, 2)}


def compile_tile(work: tuple[int, int, tuple[int, int, int, int]]) -> None:
    """Compile a tile for all kinds of products, in a new process."""
    rows, bits, tile = work
    for name, (columns, depth, kind) in products('3B').items():
        if name == 'head' and bits < 16:
            continue
        try:
            call(rows, columns, depth, kind)(random_weight(columns, depth, kind, bits), tile)
        except Exception:  # said when it is measured
            return


def main() -> None:
    """Measure, and write ``results/tune_matmul.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rows', type=int, nargs='+', default=[1, 16, 32])
    parser.add_argument('--bits', type=int, nargs='+', default=[16, 8, 4])
    parser.add_argument('--dimensions', nargs='+', default=['7B', '3B'])
    parser.add_argument('--processes', type=int, default=8)
    parser.add_argument('--out', type=pathlib.Path, default=RESULTS)
    arguments = parser.parse_args()
    tiles = {
        (rows, bits): TILES[bits][rows > 1]
        for rows, bits in itertools.product(arguments.rows, arguments.bits)
    }
    with multiprocessing.get_context('spawn').Pool(arguments.processes) as pool:
        pool.map(compile_tile, [(*key, tile) for key in tiles for tile in tiles[key]], chunksize=1)
    table: dict[str, dict[str, float]] = {}
    for (rows, bits), dimensions in itertools.product(tiles, arguments.dimensions):
        for name, (columns, depth, kind) in products(dimensions).items():
            if name == 'head' and bits < 16:
                continue
            key = f'{dimensions} {rows} {name}' + (f' int{bits}' if bits < 16 else '')
            table[key] = measure(rows, columns, depth, kind, tiles[rows, bits], bits)
            best = sorted((v, k) for k, v in table[key].items() if k != 'read')[:3]
            print(key, table[key]['read'], best, flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / 'tune_matmul.json').write_text(json.dumps(table, indent=1) + '\n')


if __name__ == '__main__':
    main()
