# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: the model, frames to feed, and how results are written."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
import json
import pathlib
import platform
from typing import Any

import numpy as np
import torch

from streamvlm_ros.engine import (
    load_processor,
    resolve_model,
    StreamQwenModel,
    StreamSettings,
    VideoStreamingInference,
)

RESULTS = pathlib.Path(__file__).parents[1] / 'results'
DTYPES = {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the arguments that all benchmarks take."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument('--model', default='tiny', help='folder, hub id, or tiny')
    made.add_argument('--device', default='cpu')
    made.add_argument('--dtype', choices=DTYPES, default='float32')
    made.add_argument('--capacity', type=int, default=4096, help='tokens of KV cache')
    made.add_argument('--width', type=int, default=224)
    made.add_argument('--height', type=int, default=168)
    return made


def load_model(arguments: argparse.Namespace) -> tuple[StreamQwenModel, Any]:
    """Return the model on its device, and its processor."""
    path = resolve_model(arguments.model)
    model = StreamQwenModel.from_pretrained(path, dtype=DTYPES[arguments.dtype])
    return model.to(arguments.device), load_processor(path)


def make_engine(model: tuple[StreamQwenModel, Any], **settings: Any) -> VideoStreamingInference:
    """Return an engine with a new stream."""
    return VideoStreamingInference(*model, settings=StreamSettings(**settings))


def frames(arguments: argparse.Namespace, count: int = 64) -> list[np.ndarray]:
    """Return RGB uint8 frames in which a box crosses a textured floor."""
    height, width = arguments.height, arguments.width
    floor = np.random.default_rng(0).integers(90, 130, (height, width, 3), np.uint8)
    made = []
    side = max(8, height // 5)
    for i in range(count):
        frame = floor.copy()
        left = (width - side) * i // count
        frame[height // 3 : height // 3 + side, left : left + side] = (200, 40, 40)
        made.append(frame)
    return made


def machine(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what the figures depend on."""
    name = (
        torch.cuda.get_device_name()
        if torch.device(arguments.device).type == 'cuda'
        else platform.processor() or platform.machine()
    )
    return {
        'model': arguments.model,
        'device': arguments.device,
        'hardware': name,
        'threads': torch.get_num_threads(),
        'dtype': arguments.dtype,
        'image': f'{arguments.width}x{arguments.height}',
        'capacity': arguments.capacity,
        'torch': torch.__version__,
    }


def write(
    name: str,
    result: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    out: pathlib.Path = RESULTS,
    show: bool = True,
) -> None:
    """Write ``OUT/NAME.json``, and a table of the rows, if there are any, to ``OUT/NAME.md``."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f'{name}.json').write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')
    if not rows:
        return
    head = list(rows[0])
    lines = [' | '.join(head), ' | '.join('---' for _ in head)]
    lines += [' | '.join(_cell(row[column]) for column in head) for row in rows]
    table = ''.join(f'| {line} |\n' for line in lines)
    (out / f'{name}.md').write_text(table, encoding='utf-8')
    if show:
        print(table, flush=True)


def _cell(value: Any) -> str:
    return f'{value:.3g}' if isinstance(value, float) else str(value)
