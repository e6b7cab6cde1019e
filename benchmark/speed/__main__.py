# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Ours, stock transformers streaming the eager way, and the offline way, in one run on one card.

    python -m benchmark.speed --dimensions 7B 3B --device cuda

Random weights at the published dimensions, bfloat16, 448 x 448, chunks of 4 frames, questions of
32 tokens. Medians with quartiles; the floor of a chunk is its operations over the card's own
matrix rate, that of a question and of a token the bytes it reads over the card's own copy rate.
Results are written whenever there are new ones.
"""

from __future__ import annotations

import time
from typing import Any

import torch

from benchmark.common import card, harness
from benchmark.common.dimensions import build
from benchmark.common.floors import Floors, floors
from benchmark.common.timing import Timer
from benchmark.speed import plot
from benchmark.speed.ours import BRANCHES, chunk_tokens, Ours, patch_tokens
from benchmark.speed.stock import Stock

MEASURED = (
    ('chunk', 'chunk_ms'),
    ('question to first token', 'ttft_ms'),
    ('token', 'token_ms'),
    (f'step of {BRANCHES} answers', f'round_of_{BRANCHES}_ms'),
    ('snapshot, restore', 'snapshot_ms'),
)


def floor_of(
    measured: str, ours: dict[str, Any], shape: Floors, rates: dict[str, float]
) -> float | None:
    """Return the floor in ms of something measured; None without one."""
    if measured == 'chunk_ms':
        flops = shape.chunk_flops(ours['chunk_tokens'], ours['chunk_cached'], ours['patch_tokens'])
        return 1e3 * flops / rates['flop_s']
    if measured == 'snapshot_ms':
        return None
    return 1e3 * shape.token_bytes(ours['cached']) / rates['bytes_s']


def summarize(
    name: str, cached: int, of: dict[str, Any], rates: dict[str, float]
) -> dict[str, Any]:
    """Return ratios and fractions of the floor of what one length has so far."""
    ours, stock, offline = of['ours'], of.get('stock'), of.get('offline')
    shape = floors(name)
    found: dict[str, Any] = {'floor_ms': {}, 'of_floor': {}, 'times_faster': {}}
    for _, key in MEASURED:
        floor = floor_of(key, ours, shape, rates)
        if floor is not None:
            found['floor_ms'][key] = round(floor, 3)
            found['of_floor'][key] = round(floor / ours[key][1], 3)
        if stock and key in stock:
            found['times_faster'][key] = round(stock[key][1] / ours[key][1], 2)
    found['branches_times_tokens'] = round(
        BRANCHES * ours['round_of_1_ms'][1] / ours[f'round_of_{BRANCHES}_ms'][1], 2
    )
    if offline:
        found['offline_times_slower'] = round(offline['offline_ms'][1] / ours['ttft_ms'][1], 1)
    return found


def table(lengths: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of the table."""
    rows = []
    for each in lengths:
        ours, stock, summary = each['ours'], each.get('stock', {}), each['summary']
        for label, key in MEASURED:
            low, median, high = ours[key]
            rows.append(
                {
                    'model': each['model'],
                    'cached': each['cached'],
                    'what': label,
                    'ours ms': median,
                    'quartiles': f'{low:.3g} to {high:.3g}',
                    'stock ms': stock.get(key, [''] * 3)[1],
                    'times faster': summary['times_faster'].get(key, ''),
                    'floor ms': summary['floor_ms'].get(key, ''),
                    'of the floor': summary['of_floor'].get(key, ''),
                }
            )
        if 'offline' in each:
            rows.append(
                {
                    'model': each['model'],
                    'cached': each['cached'],
                    'what': 'question, offline',
                    'ours ms': ours['ttft_ms'][1],
                    'quartiles': '',
                    'stock ms': each['offline']['offline_ms'][1],
                    'times faster': summary['offline_times_slower'],
                    'floor ms': '',
                    'of the floor': '',
                }
            )
    return rows


class Run:
    """One run: its results so far, and where they are written."""

    def __init__(self, arguments: Any) -> None:
        """Measure the card itself."""
        self._arguments = arguments
        self._began = time.perf_counter()
        self._rates = card.rates(arguments.device, harness.DTYPES[arguments.dtype])
        self._lengths: list[dict[str, Any]] = []
        self.tell(f'{self._rates}')

    def tell(self, what: str) -> None:
        """Say what was done."""
        print(f'{time.perf_counter() - self._began:6.1f} s  {what}', flush=True)

    @torch.inference_mode()
    def measure(self, name: str) -> None:
        """Measure one model at every length: first ours, then the others."""
        arguments = self._arguments
        timed = Timer(arguments.device)
        # Parameters that are joined later must not be inference tensors.
        with torch.inference_mode(False):
            model, processor = build(name, arguments.device, harness.DTYPES[arguments.dtype])
        self.tell(f'{name} built')
        lengths = sorted(arguments.cached)
        own = Ours(model, processor, lengths[-1], timed)
        self.tell(f'{name}: engine ready')
        found = [{'model': name, 'cached': cached} for cached in lengths]
        for each in found:
            each['ours'] = {
                **own.measure(each['cached']),
                'chunk_tokens': chunk_tokens(model),
                'patch_tokens': patch_tokens(model),
            }
            self._lengths.append(each)
            self._write(f'{name} at {each["cached"]}: ours {each["ours"]}')
        del own
        card.free(arguments.device)
        for each in found:
            stock = Stock(model, each['cached'], timed)
            each['stock'] = stock.stream()
            self._write(f'{name} at {each["cached"]}: stock {each["stock"]}')
            if each['cached'] <= arguments.offline_up_to:
                each['offline'] = stock.offline()
                self._write(f'{name} at {each["cached"]}: offline {each["offline"]}')
            del stock
            card.free(arguments.device)

    def _write(self, what: str) -> None:
        for each in self._lengths:
            each['summary'] = summarize(each['model'], each['cached'], each, self._rates)
        self.tell(what)
        harness.write(
            'speed',
            {**card.describe(self._arguments), 'card': self._rates, 'lengths': self._lengths},
            table(self._lengths),
            self._arguments.out,
            show=False,
        )


def main(argv: list[str] | None = None) -> None:
    """Measure and write ``results/speed``, the plot where matplotlib is installed."""
    made = card.parser(__doc__ or '')
    made.add_argument('--cached', nargs='+', type=int, default=[8192, 32768, 65536])
    made.add_argument('--offline-up-to', type=int, default=65536, help='cached tokens')
    arguments = made.parse_args(argv)
    run = Run(arguments)
    for name in arguments.dimensions:
        run.measure(name)
        card.free(arguments.device)
    print((arguments.out / 'speed.md').read_text(encoding='utf-8'))
    plot.draw(arguments.out)


if __name__ == '__main__':
    main()
