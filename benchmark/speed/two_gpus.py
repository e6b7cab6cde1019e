# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A model over two GPUs, beside the same weights on one.

    python -m benchmark.speed.two_gpus --dimensions 7B --gib 12

Random weights at the published dimensions are saved to a folder, and loaded from it as the node
does with `device: balanced`. Neither GPU then gives the process more than --gib, which is less
than the model takes: alone it must be refused. Before that, without the limit, one GPU shows what
the same passes give there and how far bfloat16 is from float32, and at last the other GPU runs the
model the fast way, which takes one GPU. Results are written whenever there are new ones.
`--device cpu --dtype float32 --dimensions toy` tries the script without a GPU.
"""

from __future__ import annotations

import collections
from collections.abc import Mapping
import pathlib
import shutil
import tempfile
import time
from typing import Any

import torch

from benchmark.common import card, harness
from benchmark.common.dimensions import build
from benchmark.common.timing import Timer
from benchmark.exactness.sayings import Sayings, TOKENS
from benchmark.speed.ours import BRANCHES, Ours
from streamvlm_ros.engine import (
    free_device_memory,
    load_processor,
    resolve_model,
    StreamError,
    StreamQwenModel,
)
from streamvlm_ros.engine.models.processor import StreamProcessor
from streamvlm_ros.engine.runner.model_runner import ModelRunner
from streamvlm_ros.nodes.loading import load_engine
from streamvlm_ros.nodes.parameters.parameters import check_values

TIMES = (
    ('chunk', 'chunk_ms'),
    ('question to first token', 'ttft_ms'),
    ('token', 'token_ms'),
    (f'step of {BRANCHES} answers', f'round_of_{BRANCHES}_ms'),
)


def save(model: StreamQwenModel, folder: pathlib.Path) -> None:
    """Write a model folder: the weights, and the embedded model's tokenizer and settings."""
    model.save_pretrained(folder)
    for file in pathlib.Path(resolve_model('tiny')).iterdir():
        if file.suffix in ('.json', '.jinja', '.txt') and not (folder / file.name).exists():
            shutil.copy(file, folder)


def plainly(model: StreamQwenModel) -> StreamQwenModel:
    """Run a model on one GPU as on several: directly, with no pass recorded."""
    ModelRunner.of(model).passes = None
    return model


class Run:
    """One run: its results so far, and where they are written."""

    def __init__(self, arguments: Any) -> None:
        """Begin without results."""
        self._arguments = arguments
        self._began = time.perf_counter()
        cuda = torch.device(arguments.device).type == 'cuda'
        self._gpus = range(torch.cuda.device_count() if cuda else 0)
        self._one = 'cuda:0' if cuda else arguments.device
        self._other = f'cuda:{self._gpus[-1]}' if cuda else arguments.device
        self._spread = 'balanced' if cuda else arguments.device
        self._dtype = harness.DTYPES[arguments.dtype]
        self._timed = Timer(*(f'cuda:{index}' for index in self._gpus))
        self._found: dict[str, Any] = {**card.describe(arguments), 'gpus': len(self._gpus)}
        self._ways: dict[str, dict[str, Any]] = {}
        self._said: dict[str, Sayings] = {}

    def tell(self, what: str) -> None:
        """Say what was done."""
        print(f'{time.perf_counter() - self._began:6.1f} s  {what}', flush=True)

    def on_one(self, name: str, folder: pathlib.Path) -> None:
        """Build and save the model; run it plainly on one GPU, then in float32."""
        save(build(name, self._one, self._dtype)[0], folder)
        free_device_memory()
        self.tell(f'saved, {sum(file.stat().st_size for file in folder.iterdir()) / 1e9:.2f} GB')
        # Not the model that was built: its rotations, made on the GPU, may be rounded otherwise.
        model = StreamQwenModel.from_pretrained(folder, dtype=self._dtype, device_map=self._one)
        processor = load_processor(folder)
        self._measure('one GPU', plainly(model), processor)
        self._said['float32'] = Sayings.of(model.float(), processor, self._arguments.side)
        self.tell('float32 on one GPU')
        self._write()

    def on_two(self, folder: pathlib.Path) -> None:
        """Run the model on all GPUs, within the limit; and see it refused by one."""
        self._limit(self._arguments.gib)
        self._found['log'] = []
        model = self._load(folder, self._spread)
        self._found['device_map'] = getattr(model, 'hf_device_map', {})
        layers = collections.Counter(map(str, model.layer_devices))
        weights: collections.Counter[str] = collections.Counter()
        for parameter in model.parameters():
            weights[str(parameter.device)] += parameter.nbytes
        self._found['devices'] = {
            device: {'layers': layers[device], 'weight_bytes': weights[device]}
            for device in sorted(weights)
        }
        self._measure('two GPUs', model, load_processor(folder))
        for index in self._gpus:
            self._found['devices'][f'cuda:{index}']['peak_bytes'] = torch.cuda.max_memory_reserved(
                index
            )
        self._write()
        del model
        free_device_memory()
        if self._gpus:
            try:
                self._load(folder, self._one)
                self._found['refused'] = ''
            except StreamError as error:
                self._found['refused'] = str(error)
            self.tell(f'one GPU: {self._found["refused"]}')
            self._write()

    def recorded(self, folder: pathlib.Path) -> None:
        """Run the model the fast way, on the last GPU."""
        free_device_memory()
        self._limit(None)
        model = StreamQwenModel.from_pretrained(folder, dtype=self._dtype, device_map=self._other)
        self._measure('one GPU, recorded', model, load_processor(folder))

    def _load(self, folder: pathlib.Path, device: str) -> Any:
        """Load the model as the node does."""

        def log(text: str) -> None:
            self._found['log'].append(text)
            self.tell(text)

        side = self._arguments.side
        return load_engine(
            check_values(
                {
                    'model': str(folder),
                    'device': device,
                    'dtype': self._arguments.dtype,
                    'max_pixels': side * side,
                    'capacity': 4096,
                }
            ),
            log,
        ).model

    def _limit(self, gib: float | None) -> None:
        for index in self._gpus:
            total = torch.cuda.get_device_properties(index).total_memory
            torch.cuda.set_per_process_memory_fraction(
                1.0 if gib is None else gib * 2**30 / total, index
            )
            torch.cuda.reset_peak_memory_stats(index)

    def _measure(self, way: str, model: StreamQwenModel, processor: StreamProcessor) -> None:
        self._said[way] = Sayings.of(model, processor, self._arguments.side)
        self.tell(f'{way}: answers are there')
        self._write()
        cached = self._arguments.cached
        self._ways[way] = Ours(model, processor, cached, self._timed).measure(cached)
        self.tell(f'{way}: {self._ways[way]}')
        self._write()

    def _write(self) -> None:
        self._found['ways'] = self._ways
        self._found['exactness'] = exactness(self._said)
        harness.write('two_gpus', self._found, table(self._found), self._arguments.out, show=False)


def exactness(said: Mapping[str, Sayings]) -> dict[str, dict[str, float]]:
    """Return how far each way is from one GPU's plain one, and from float32."""
    found: dict[str, dict[str, float]] = {}
    for way, mine in said.items():
        found[way] = {'tokens': sum(map(len, mine.tokens))}
        for other, name in (('one GPU', 'one'), ('float32', 'float32')):
            if other in said and other != way:
                theirs = said[other]
                found[way] |= {
                    f'logits_from_{name}': mine.error(theirs),
                    f'tokens_as_{name}': mine.equal(theirs),
                    f'choices_from_{name}': mine.choice_error(theirs),
                }
    return found


def table(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the table: what, and every way that was gone."""
    ways = found['ways']
    rows = [
        {'what': f'{label}, ms', **{way: each[key][1] for way, each in ways.items()}}
        for label, key in TIMES
    ]
    exact = found['exactness']
    for label, key in (
        ('logits from float32', 'logits_from_float32'),
        ("logits from one GPU's", 'logits_from_one'),
        (f'tokens as on one GPU, {TOKENS} an answer', 'tokens_as_one'),
        ("choices' log-probabilities from one GPU's", 'choices_from_one'),
    ):
        rows.append({'what': label, **{way: exact[way].get(key, '') for way in ways}})
    for device, each in found.get('devices', {}).items():
        what = f'{each["layers"]} layers, {each["weight_bytes"] / 1e9:.2f} GB weights'
        if 'peak_bytes' in each:
            what += f', {each["peak_bytes"] / 1e9:.2f} GB in all'
        rows.append({'what': f'on {device}', **dict.fromkeys(ways, ''), 'two GPUs': what})
    return rows


def main(argv: list[str] | None = None) -> None:
    """Measure as the command line says, and write ``results/two_gpus``."""
    made = card.parser(__doc__ or '')
    made.set_defaults(dimensions=['7B'])
    made.add_argument('--gib', type=float, default=12.0, help='that a GPU gives at most')
    made.add_argument('--cached', type=int, default=8192, help='cached tokens')
    made.add_argument('--side', type=int, default=448, help='of the frames')
    made.add_argument('--recorded', action='store_true', help='also the fast way on one GPU')
    arguments = made.parse_args(argv)
    run = Run(arguments)
    [name] = arguments.dimensions
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        run.on_one(name, folder)
        free_device_memory()
        run.on_two(folder)
        if arguments.recorded:
            run.recorded(folder)
    run.tell('done')


if __name__ == '__main__':
    main()
