# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The decoder in 16, 8 and 4 bits: memory and speed, in one run on one card.

    python -m benchmark.quantization.quantized --dimensions 7B 3B --cached 8192

Random weights, 448 x 448, chunks of 4 frames, questions of 32 tokens, as in `benchmark.speed`. The
floor of a token is what it reads, at the rate at which the card copies. How many answers of the
embedded model change is shown by `--scenes`: held-out ones, on the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from benchmark.common import card, harness
from benchmark.common.dimensions import build
from benchmark.common.floors import floors, LAYER_BYTES
from benchmark.common.timing import Timer
from benchmark.speed.ours import Ours
from streamvlm_ros.engine.ops.quantization import weight_bytes

BITS = (16, 8, 4)


def measure(name: str, bits: int, cached: int, arguments: Any, rate: float) -> dict[str, Any]:
    """Return a row of the table."""
    model, processor = build(name, arguments.device, harness.DTYPES[arguments.dtype])
    if bits < 16:
        model.quantize(bits)
        card.free(arguments.device)
    own = Ours(model, processor, cached, Timer(arguments.device))
    with torch.inference_mode():
        found = own.measure(cached)
    read = floors(name).token_bytes(cached, LAYER_BYTES[bits])
    token = found['token_ms'][1]
    return {
        'model': name,
        'bits': bits,
        'cached': cached,
        'weights GB': round(weight_bytes(model) / 1e9, 2),
        'chunk ms': found['chunk_ms'][1],
        'first token ms': found['ttft_ms'][1],
        'token ms': token,
        'token, of the floor': round(1e3 * read / rate / token, 3),
        'step of 8 ms': found['round_of_8_ms'][1],
    }


def rows(arguments: Any) -> Iterator[dict[str, Any]]:
    """Measure one after another."""
    rate = card.rates(arguments.device, harness.DTYPES[arguments.dtype])['bytes_s']
    for name in arguments.dimensions:
        for bits in arguments.bits:
            yield measure(name, bits, arguments.cached, arguments, rate)
            card.free(arguments.device)


def main(argv: list[str] | None = None) -> None:
    """Measure and write ``results/quantized``."""
    made = card.parser(__doc__ or '')
    made.add_argument('--bits', nargs='+', type=int, choices=BITS, default=list(BITS))
    made.add_argument('--cached', type=int, default=8192, help='tokens')
    arguments = made.parse_args(argv)
    found: list[dict[str, Any]] = []
    for row in rows(arguments):
        print(row, flush=True)
        found.append(row)
        harness.write(
            'quantized',
            {**card.describe(arguments), 'rows': found},
            found,
            arguments.out,
            show=False,
        )


if __name__ == '__main__':
    main()
