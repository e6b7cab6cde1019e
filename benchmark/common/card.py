# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks of random models on one card share: arguments, and what the card does."""

from __future__ import annotations

import argparse
import pathlib
import platform
from typing import Any

import torch
import transformers

from benchmark.common.dimensions import NAMES
from benchmark.common.harness import DTYPES, RESULTS
from benchmark.common.timing import quartiles, Timer


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the arguments that all of them take."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument('--dimensions', nargs='+', choices=list(NAMES), default=['7B', '3B'])
    made.add_argument('--device', default='cuda')
    made.add_argument('--dtype', choices=DTYPES, default='bfloat16')
    made.add_argument('--out', type=pathlib.Path, default=RESULTS, help='folder of the results')
    return made


def describe(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what the figures depend on."""
    cuda = torch.device(arguments.device).type == 'cuda'
    return {
        'hardware': torch.cuda.get_device_name() if cuda else platform.machine(),
        'dtype': arguments.dtype,
        'torch': torch.__version__,
        'transformers': transformers.__version__,
        'arguments': {
            name: str(value) if isinstance(value, pathlib.Path) else value
            for name, value in vars(arguments).items()
        },
    }


def rates(device: str, dtype: torch.dtype) -> dict[str, float]:
    """Return what the card itself does: bytes read and written, and operations, a second."""
    timed = Timer(device)
    size, edge = (2**31, 8192) if torch.device(device).type == 'cuda' else (2**26, 512)
    # Random, as real data is: a card can be faster on zeros.
    source = torch.randint(0, 256, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copied = quartiles(timed(lambda: target.copy_(source)))[1]
    one, other = (torch.randn(edge, edge, device=device, dtype=dtype) for _ in range(2))
    product = quartiles(timed(lambda: one @ other))[1]
    return {'bytes_s': 2e3 * size / copied, 'flop_s': 2e3 * edge**3 / product}


def free(device: str) -> None:
    """Free memory that is no longer used."""
    if torch.device(device).type == 'cuda':
        torch.cuda.empty_cache()
