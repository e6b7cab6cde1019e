# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Trains the embedded model from nothing.

First the vision tower alone, with a thrown-away head that names what each token shows; then all
of it, on the answers and on what each moment is to remember. The learning rate follows the time
spent, so that `--minutes` is what it takes; a run that is started again with the same `--out`
continues where it stopped.
"""

from __future__ import annotations

import argparse
import csv
import functools
import math
import multiprocessing
import pathlib
import shutil
import tempfile
import time
from typing import Any

import torch
from torch.nn import functional

from streamvlm_ros.engine.models.processor import load_processor
from streamvlm_ros.scenes.questions import FAMILIES
from training.batches import Batch, BatchSource, collate
from training.build import build, CONFIGS, PRESETS
from training.data import Packer
from training.network import (
    answer_logits,
    Helpers,
    is_first_token,
    load_stock,
    patchify,
    run_model,
    see,
)
from training.plan import Plan

LOG_STEPS = 20


@functools.lru_cache(maxsize=1)
def _packer(folder: pathlib.Path) -> Packer:
    return Packer(folder)


class BatchMaker:
    """Draws the batch of a step, in a worker process; `progress` is shared with the trainer."""

    def __init__(self, plan: Plan, progress: Any) -> None:
        """Keep the plan; the packer is made where it is used."""
        self._plan, self._progress = plan, progress

    def __call__(self, step: int) -> Batch:
        """Return the batch."""
        specs = self._plan.specs(step, self._progress.value)
        clips = [_packer(self._plan.out).pack(spec) for spec in specs]
        # Training does not use the texts of the questions; they need not be sent.
        for clip in clips:
            clip.branches = []
        return collate(clips, specs[0].grid)


class Trainer:
    """Model, optimiser and how far they have come."""

    def __init__(self, plan: Plan) -> None:
        """Build the model, or load what an earlier run of the same plan left."""
        self.plan, self.device = plan, torch.device(plan.device)
        self.state_path = plan.out / 'training_state.pt'
        if not self.state_path.exists():
            if plan.begin_with:
                shutil.copytree(plan.begin_with, plan.out, dirs_exist_ok=True)
            else:
                build(plan.out, plan.preset, plan.seed, plan.family)
        torch.manual_seed(plan.seed)
        torch.set_float32_matmul_precision('high')
        # cuDNN makes a new plan for every length, which takes longer than the step.
        torch.backends.cuda.enable_cudnn_sdp(False)
        self.model = load_stock(plan.out).to(self.device)
        self.pixels = load_processor(plan.out).pixels
        self.helpers = Helpers(self.model.config.text_config.hidden_size).to(self.device)
        decay = [p for p in self.model.parameters() if p.ndim > 1]
        rest = [p for p in self.model.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {'params': [*decay, *self.helpers.parameters()], 'weight_decay': 0.02},
                {'params': rest, 'weight_decay': 0.0},
            ],
            lr=plan.rate,
            betas=(0.9, 0.98),
            fused=self.device.type == 'cuda',
        )
        self.step, self.spent = 0, 0.0
        if self.state_path.exists():
            state = torch.load(self.state_path, map_location=self.device)
            self.model.load_state_dict(state['model'])
            self.helpers.load_state_dict(state['helpers'])
            self.optimizer.load_state_dict(state['optimizer'])
            self.step, self.spent = state['step'], state['spent']

    @property
    def progress(self) -> float:
        """Share of the time that is spent."""
        return min(1.0, self.spent / (60.0 * self.plan.minutes))

    def train_step(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Take one step; return its losses and the share of answer tokens that are right."""
        amp = torch.autocast('cuda', torch.bfloat16, enabled=self.device.type == 'cuda')
        row = {}
        with amp:
            if self.plan.is_vision_only(self.progress):
                video, _ = see(self.model, patchify(batch.frames, self.pixels), batch.grid)
                loss = row['mark_loss'] = self.helpers.vision_loss(video, batch)
            else:
                outputs = run_model(self.model, batch, self.pixels)
                logits, labels, _ = answer_logits(self.model, outputs.hidden, batch)
                first = is_first_token(batch)
                # By answer and not by token: refusals are long and would outweigh the rest.
                loss = functional.cross_entropy(logits, labels, reduction='sum') / first.sum()
                right = (logits.argmax(-1) == labels) & first
                row = {
                    'answer_loss': loss,
                    'mark_loss': self.helpers.vision_loss(outputs.video, batch),
                    'memory_loss': self.helpers.memory_loss(self.model, outputs.middle, batch),
                    'first_token_accuracy': right.sum() / first.sum(),
                }
                loss = (
                    loss
                    + 0.3 * row['mark_loss']
                    + self.plan.memory_weight(self.progress) * row['memory_loss']
                )
        for group in self.optimizer.param_groups:
            group['lr'] = self.plan.learning_rate(self.progress)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return {name: value.detach() for name, value in row.items()}

    def save(self) -> None:
        """Write the state to continue from, and the model folder's weights in bfloat16."""
        torch.save(
            {
                'model': self.model.state_dict(),
                'helpers': self.helpers.state_dict(),
                'optimizer': self.optimizer.state_dict(),
                'step': self.step,
                'spent': self.spent,
            },
            self.state_path,
        )
        save_weights(self.model, self.plan.out)

    def run(self, stop_after: float) -> None:
        """Train until the plan's minutes, or `stop_after` seconds from now, have passed."""
        progress = multiprocessing.get_context('spawn').Value('d', self.progress)
        source = BatchSource(
            BatchMaker(self.plan, progress),
            self.step,
            self.plan.workers,
            self.device,
            self.plan.keep,
        )
        began = last = saved = time.monotonic()
        with (self.plan.out / 'curve.csv').open('a', newline='') as file:
            writer = csv.DictWriter(
                file,
                [
                    'step',
                    'seconds',
                    'fresh',
                    'learning_rate',
                    'mark_loss',
                    'memory_loss',
                    'answer_loss',
                    'first_token_accuracy',
                ],
            )
            if not self.step:
                writer.writeheader()
            while self.progress < 1.0 and time.monotonic() - began < stop_after:
                row = self.train_step(source.next())
                now = time.monotonic()
                self.spent, last, self.step = self.spent + now - last, now, self.step + 1
                progress.value = self.progress
                if self.step % LOG_STEPS == 0:
                    # The only look at the device's numbers: each makes the processor wait.
                    logged = {k: round(v.item(), 4) for k, v in row.items()}
                    logged |= {
                        'step': self.step,
                        'seconds': round(self.spent, 1),
                        'fresh': source.fresh,
                        'learning_rate': self.plan.learning_rate(self.progress),
                    }
                    writer.writerow(logged)
                    file.flush()
                    if self.step % (10 * LOG_STEPS) == 0:
                        print(logged, flush=True)
                if now - saved > 60.0:
                    self.save()
                    saved = now
        self.save()


def save_weights(model: Any, folder: pathlib.Path) -> None:
    """Write the weights in bfloat16, the rest of the folder as it is."""
    copy = type(model)(model.config).to(torch.bfloat16)
    copy.load_state_dict(model.state_dict())
    copy.generation_config = model.generation_config
    copy.save_pretrained(folder)
    (folder / 'model.safetensors').chmod(0o644)


def main() -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--out',
        type=pathlib.Path,
        default=None,
        help='build/training; for --toy a new temporary folder',
    )
    parser.add_argument('--preset', choices=sorted(PRESETS), default='large')
    parser.add_argument('--family', choices=sorted(CONFIGS), default='qwen2_5_vl')
    parser.add_argument('--minutes', type=float, default=20.0)
    parser.add_argument(
        '--stop-after',
        type=float,
        default=math.inf,
        help='seconds after which this run saves and stops, to be gone on with',
    )
    parser.add_argument('--clips', type=int, default=96, help='clips in a batch')
    parser.add_argument('--questions', type=int, default=24, help='questions on a clip')
    parser.add_argument('--longest', type=int, default=120, help='frames in the longest clip')
    parser.add_argument('--workers', type=int, default=14, help='processes that draw; 0: none')
    parser.add_argument(
        '--begin-with',
        type=pathlib.Path,
        help='a model folder to train on from, instead of nothing',
    )
    parser.add_argument(
        '--reels',
        type=float,
        default=0.0,
        help='share of steps with scenes that are cut and fall out of memory',
    )
    parser.add_argument(
        '--days',
        type=float,
        default=0.0,
        help='share of steps with pieces of benchmark.memory.day',
    )
    parser.add_argument(
        '--more',
        nargs='*',
        default=[],
        choices=FAMILIES,
        help='families that are asked about more',
    )
    parser.add_argument('--rate', type=float, default=1.5e-3, help='learning rate')
    parser.add_argument('--seed', type=int, default=1, help='of what is drawn')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--toy', action='store_true', help='the whole path on a CPU in a minute')
    a = parser.parse_args()
    if a.toy:
        a.preset, a.minutes, a.clips, a.questions, a.longest, a.workers = 'small', 0.5, 4, 8, 8, 0
        a.device = 'cpu'
        a.out = a.out or pathlib.Path(tempfile.mkdtemp(prefix='streamvlm_toy_'))
    a.out = a.out or pathlib.Path('build/training')
    if a.out.resolve() == pathlib.Path('streamvlm_ros/models/tiny').resolve():
        parser.error('train into another folder, and copy the model when it is good')
    plan = Plan(
        a.out,
        a.preset,
        a.minutes,
        a.clips,
        a.questions,
        a.longest,
        a.workers,
        a.rate,
        a.device,
        a.begin_with,
        seed=a.seed,
        reels=a.reels,
        days=a.days,
        more=tuple(a.more),
        family=a.family,
    )
    Trainer(plan).run(a.stop_after)


if __name__ == '__main__':
    main()
