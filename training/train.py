# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Trains the embedded model from nothing.

First the vision tower alone, with a thrown-away head that names what each token shows; then all
of it, on the answers. The learning rate follows the time spent, so that `--minutes` is what it
takes; a run that is started again with the same `--out` goes on where it stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
import csv
import dataclasses
import functools
import math
import multiprocessing
import pathlib
import tempfile
import time
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import Qwen2_5_VLForConditionalGeneration

from streamvlm_ros.engine.processor import load_processor
from streamvlm_ros.engine.vision import encode_video
from training.build import build, PRESETS
from training.data import Batch, Clip, ClipSpec, collate, GRIDS, MARKS, Packer
from training.network import answer_logits, cut_patches, hidden_states, mark_loss

# Scenes from this seed on are held out for evaluation.
HELD_OUT_SEED = 1_000_000_000


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is trained for how long."""

    out: pathlib.Path
    preset: str
    minutes: float
    clips: int
    questions: int
    longest: int
    workers: int
    rate: float
    device: str
    vision_share: float = 0.15
    seed: int = 1


def draw_specs(plan: Plan, step: int, progress: float) -> list[ClipSpec]:
    """Return the clips of a step: one grid and length; the longer the later."""
    rng = np.random.default_rng((plan.seed, step))
    if progress < plan.vision_share:
        grid, frames, rate, questions = GRIDS[rng.integers(len(GRIDS))], 4, 0.5, 1
    else:
        grid, questions = GRIDS[rng.integers(len(GRIDS))], plan.questions
        reach = min(1.0, 0.3 + 1.2 * (progress - plan.vision_share))
        frames = 2 * int(rng.integers(2, max(3, int(plan.longest * reach) // 2) + 1))
        rate = float(rng.choice([2.0, 2.0, 2.0, 4.0] + [8.0] * (frames >= 16)))
    seed = (plan.seed * 10_000_000 + step * plan.clips) % HELD_OUT_SEED
    return [ClipSpec(seed + i, frames, rate, grid, bool(rng.random() < 0.35),
                     int(rng.choice([2, 4, 4, 6, 8])), questions)
            for i in range(plan.clips)]


@functools.lru_cache(maxsize=1)
def _packer(folder: pathlib.Path) -> Packer:
    torch.set_num_threads(1)
    return Packer(folder)


def _pack(work: tuple[pathlib.Path, ClipSpec]) -> Clip:
    return _packer(work[0]).pack(work[1])


class Trainer:
    """Model, optimiser and how far they have come."""

    def __init__(self, plan: Plan) -> None:
        """Build the model, or load what an earlier run of the same plan left."""
        self.plan, self.device = plan, torch.device(plan.device)
        self.state_path = plan.out / 'training_state.pt'
        if not self.state_path.exists():
            build(plan.out, plan.preset, plan.seed)
        torch.manual_seed(plan.seed)
        self.model: Any = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            plan.out, dtype=torch.float32).to(self.device)
        self.pixels = load_processor(plan.out).pixels
        self.head = torch.nn.Linear(self.model.config.text_config.hidden_size, MARKS)
        self.head.to(self.device)
        decay = [p for p in self.model.parameters() if p.ndim > 1]
        rest = [p for p in self.model.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{'params': [*decay, *self.head.parameters()], 'weight_decay': 0.02},
             {'params': rest, 'weight_decay': 0.0}], lr=plan.rate, betas=(0.9, 0.98))
        self.step, self.spent = 0, 0.0
        if self.state_path.exists():
            state = torch.load(self.state_path, map_location=self.device)
            self.model.load_state_dict(state['model'])
            self.head.load_state_dict(state['head'])
            self.optimizer.load_state_dict(state['optimizer'])
            self.step, self.spent = state['step'], state['spent']

    @property
    def progress(self) -> float:
        """Share of the time that is spent."""
        return min(1.0, self.spent / (60.0 * self.plan.minutes))

    def learning_rate(self) -> float:
        """Return this step's rate: each phase warms up, the second falls to nothing."""
        share = self.plan.vision_share
        if self.progress < share:
            return self.plan.rate * min(1.0, 20.0 * self.progress / share)
        joint = (self.progress - share) / (1.0 - share)
        return self.plan.rate * min(1.0, 25.0 * joint + 0.1) * (
            0.5 + 0.5 * math.cos(math.pi * joint))

    def train_step(self, batch: Batch) -> dict[str, float]:
        """Take one step; return its losses and the share of answer tokens that are right."""
        batch = batch.to(self.device)
        amp = torch.autocast('cuda', torch.bfloat16, enabled=self.device.type == 'cuda')
        row = {'answer_loss': math.nan, 'token_accuracy': math.nan}
        with amp:
            if self.progress < self.plan.vision_share:
                video = encode_video(self.model.model.visual,
                                     cut_patches(batch.frames, self.pixels), batch.grid)
                loss = mark_loss(self.head(video), batch.marks.flatten(0, 2))
                row['mark_loss'] = loss.item()
            else:
                hidden, video = hidden_states(self.model, batch, self.pixels)
                logits, labels, _ = answer_logits(self.model, hidden, batch)
                loss = functional.cross_entropy(logits, labels)
                marks = mark_loss(self.head(video), batch.marks.flatten(0, 2))
                row.update(answer_loss=loss.item(), mark_loss=marks.item(), token_accuracy=(
                    logits.argmax(-1) == labels).float().mean().item())
                loss = loss + 0.2 * marks
        for group in self.optimizer.param_groups:
            group['lr'] = self.learning_rate()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return row

    def save(self) -> None:
        """Write the state to go on from, and the model folder's weights in bfloat16."""
        torch.save({'model': self.model.state_dict(), 'head': self.head.state_dict(),
                    'optimizer': self.optimizer.state_dict(), 'step': self.step,
                    'spent': self.spent}, self.state_path)
        save_weights(self.model, self.plan.out)

    def run(self, stop_after: float) -> None:
        """Train until the plan's minutes, or `stop_after` seconds from now, have passed."""
        began = last = saved = time.monotonic()
        with (self.plan.out / 'curve.csv').open('a', newline='') as file:
            writer = csv.DictWriter(file, ['step', 'seconds', 'learning_rate', 'answer_loss',
                                           'mark_loss', 'token_accuracy'])
            if not self.step:
                writer.writeheader()
            for batch in self._batches():
                row = self.train_step(batch)
                now = time.monotonic()
                self.spent, last, self.step = self.spent + now - last, now, self.step + 1
                if self.step % 10 == 0:
                    row.update(step=self.step, seconds=round(self.spent, 1),
                               learning_rate=self.learning_rate())
                    writer.writerow(row)
                    file.flush()
                if self.step % 50 == 0:
                    print({k: round(v, 4) for k, v in row.items()}, flush=True)
                if now - saved > 60.0:
                    self.save()
                    saved = now
                if self.progress >= 1.0 or now - began > stop_after:
                    break
        self.save()

    def _batches(self) -> Iterator[Batch]:
        """Yield batches for ever, drawn ahead by worker processes if there are any."""
        if not self.plan.workers:
            for step in range(self.step, 1 << 60):
                specs = draw_specs(self.plan, step, self.progress)
                yield collate([_pack((self.plan.out, s)) for s in specs], specs[0].grid)
        context = multiprocessing.get_context('spawn')
        with context.Pool(self.plan.workers) as pool:
            waiting: list[tuple[Any, tuple[int, int]]] = []
            for step in range(self.step, 1 << 60):
                specs = draw_specs(self.plan, step, self.progress)
                result = pool.map_async(_pack, [(self.plan.out, s) for s in specs], 4)
                waiting.append((result, specs[0].grid))
                if len(waiting) >= 6:
                    ready, grid = waiting.pop(0)
                    yield collate(ready.get(), grid)


def save_weights(model: Any, folder: pathlib.Path) -> None:
    """Write the weights in bfloat16, the rest of the folder as it is."""
    copy = Qwen2_5_VLForConditionalGeneration(model.config).to(torch.bfloat16)
    copy.load_state_dict(model.state_dict())
    copy.generation_config = model.generation_config
    copy.save_pretrained(folder)
    (folder / 'model.safetensors').chmod(0o644)


def main() -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=pathlib.Path, default=None,
                        help='build/training; for --toy a new temporary folder')
    parser.add_argument('--preset', choices=sorted(PRESETS), default='large')
    parser.add_argument('--minutes', type=float, default=20.0)
    parser.add_argument('--stop-after', type=float, default=math.inf,
                        help='seconds after which this run saves and stops, to be gone on with')
    parser.add_argument('--clips', type=int, default=96, help='clips in a batch')
    parser.add_argument('--questions', type=int, default=24, help='questions on a clip')
    parser.add_argument('--longest', type=int, default=80, help='frames in the longest clip')
    parser.add_argument('--workers', type=int, default=14, help='processes that draw; 0: none')
    parser.add_argument('--rate', type=float, default=1.5e-3, help='learning rate')
    parser.add_argument('--vision-share', type=float, default=0.15,
                        help='share of the time that the vision tower is trained alone')
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
    plan = Plan(a.out, a.preset, a.minutes, a.clips, a.questions, a.longest, a.workers, a.rate,
                a.device, a.vision_share)
    Trainer(plan).run(a.stop_after)


if __name__ == '__main__':
    main()
