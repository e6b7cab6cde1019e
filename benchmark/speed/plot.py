# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Draws ``results/speed.png`` from ``results/speed.json``; install matplotlib for it.

    python -m benchmark.speed.plot
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import pathlib
import sys
from typing import Any

from benchmark.common.harness import RESULTS

# Colours that can be distinguished without seeing red or green.
OURS, STOCK, OFFLINE, FLOOR = '#0072B2', '#D55E00', '#CC79A7', '#555555'


def draw(folder: pathlib.Path) -> None:
    """Draw what the folder's speed.json holds, a row of plots a model."""
    if importlib.util.find_spec('matplotlib') is None:
        print('No plot: matplotlib is not installed.', file=sys.stderr)
        return
    importlib.import_module('matplotlib').use('Agg')
    pyplot: Any = importlib.import_module('matplotlib.pyplot')
    lengths = json.loads((folder / 'speed.json').read_text(encoding='utf-8'))['lengths']
    models = list(dict.fromkeys(each['model'] for each in lengths))
    figure, rows = pyplot.subplots(len(models), 3, figsize=(12, 3.6 * len(models)), squeeze=False)
    for model, axes in zip(models, rows):
        of = [each for each in lengths if each['model'] == model]
        _lines(axes[0], of, 'chunk_ms', f'{model}: 4 frames, ms')
        _lines(axes[1], of, 'ttft_ms', f'{model}: question to first token, ms')
        _points(
            axes[1],
            [each for each in of if 'offline' in each],
            lambda each: each['offline']['offline_ms'],
            OFFLINE,
            'offline',
        )
        _lines(axes[2], of, 'token_ms', f'{model}: one token, ms')
        for axis in axes:
            axis.set_xscale('log', base=2)
            axis.set_yscale('log')
            axis.set_xticks(
                [each['cached'] for each in of], [f'{each["cached"] // 1024}k' for each in of]
            )
            axis.set_xlabel('tokens cached')
            axis.grid(True, which='both', alpha=0.3)
            axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(folder / 'speed.png', dpi=120)


def _lines(axis: Any, of: list[dict[str, Any]], key: str, title: str) -> None:
    axis.set_title(title, fontsize=10)
    _points(
        axis,
        [each for each in of if 'stock' in each],
        lambda each: each['stock'][key],
        STOCK,
        'stock transformers',
    )
    _points(axis, of, lambda each: each['ours'][key], OURS, 'streamvlm')
    axis.plot(
        [each['cached'] for each in of],
        [each['summary']['floor_ms'][key] for each in of],
        color=FLOOR,
        linestyle='--',
        label='floor',
    )


def _points(axis: Any, of: list[dict[str, Any]], quartiles: Any, color: str, label: str) -> None:
    if of:
        low, median, high = zip(*(quartiles(each) for each in of))
        spread = [[m - a for m, a in zip(median, low)], [b - m for m, b in zip(median, high)]]
        axis.errorbar(
            [each['cached'] for each in of],
            median,
            yerr=spread,
            color=color,
            marker='o',
            capsize=3,
            label=label,
        )


if __name__ == '__main__':
    draw(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS)
