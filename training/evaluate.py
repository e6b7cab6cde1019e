# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measures a model folder on held-out scenes and writes the table of accuracy by family.

A free answer is right when greedy decoding gives exactly the true words and then ends; that is so
when each of its tokens is the most probable after the ones before. A choice is right when its
probability is the largest, scored as the engine scores it.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
import dataclasses
import functools
import json
import pathlib
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from streamvlm_ros.engine.models.processor import load_processor
from streamvlm_ros.scenes.questions import FAMILIES, Question, REFUSAL
from streamvlm_ros.scenes.scene import HELD_OUT_SEED
from training.batches import collate
from training.data import Clip, ClipSpec, Packer
from training.layout import IGNORED
from training.network import answer_logits, load_stock, run_model
from training.paper import Memory

STANDARD = ClipSpec(0, 24, 2.0, (4, 3), False, 4, 24)
# What is changed, one at a time, to see whether the answers stay as good.
VARIATIONS: dict[str, dict[str, Any]] = {
    'standard': {},
    'append': {'append': True},
    'append, chunks of 2': {'append': True, 'chunk_frames': 2},
    'append, chunks of 8': {'append': True, 'chunk_frames': 8},
    '6 s': {'frames': 12},
    '30 s': {'frames': 60},
    '60 s': {'frames': 120},
    '4 fps': {'frames': 48, 'rate': 4.0},
    '8 fps': {'frames': 96, 'rate': 8.0},
    '16:9': {'grid': (5, 3)},
    'square': {'grid': (4, 4)},
    'portrait': {'grid': (3, 4)},
    'JPEG 95': {'quality': 95},
    'JPEG 50': {'quality': 50},
    'JPEG 30': {'quality': 30},
    '4 times as large': {'oversize': 4},
    'a pause of 8 s': {'pause': 8.0},
    'last 2 s only': {'last_seconds': 2.0},
    # As `standard`, after two other scenes that are out of memory.
    'third scene': {'frames': 72, 'cuts': (24, 48), 'memory': Memory(seconds=12.0)},
    'third scene, positions counted anew': {
        'frames': 72,
        'cuts': (24, 48),
        'memory': Memory(seconds=12.0, largest=48),
    },
    # Three minutes' worth of benchmark.memory.day.
    'third scene of 30 s at 4 fps': {
        'frames': 360,
        'rate': 4.0,
        'cuts': (120, 240),
        'memory': Memory(seconds=30.0),
    },
}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """How one question in one form was answered; `chance` is that of a blind guess."""

    question: Question
    is_choice: bool
    right: bool
    refused: bool
    chance: float


def judge(
    model: Any, clips: list[Clip], grid: tuple[int, int], pixels: Any, device: torch.device
) -> Iterator[Verdict]:
    """Answer every branch of packed clips (made with `every_choice`)."""
    batch = collate(clips, grid).to(device)
    with torch.no_grad():
        outputs = run_model(model, batch, pixels)
        logits, labels, place = answer_logits(model, outputs.hidden, batch)
    logp = logits.log_softmax(-1).gather(1, labels[:, None])[:, 0].cpu()
    best = logits.argmax(-1).cpu()
    labels, place = labels.cpu(), place.cpu()
    # Where a token's row is among the answers, by clip and index.
    row = torch.full(batch.ids.shape, IGNORED)
    row[place[:, 0], place[:, 1]] = torch.arange(len(place))
    refusal = int(model.refusal_token)
    for number, branches in enumerate(batch.branches):
        for branch in branches:
            rows = [row[number, a:b] for a, b in branch.spans]
            truth = branch.question.answer
            if branch.is_choice:
                scores = torch.stack([logp[r].sum() for r in rows])
                picked = branch.choices[int(scores.argmax())]
                yield Verdict(
                    branch.question,
                    True,
                    picked == truth,
                    picked == REFUSAL,
                    1.0 / len(branch.choices),
                )
            else:
                right = bool((best[rows[0]] == labels[rows[0]]).all())
                yield Verdict(branch.question, False, right, int(best[rows[0][0]]) == refusal, 0.0)


class HeldOutClips(Dataset[list[Clip]]):
    """Groups of packed held-out clips like `base`, drawn when the loader needs them."""

    def __init__(self, folder: pathlib.Path, base: ClipSpec, clips: int, group: int) -> None:
        """Say what is to be drawn; nothing is yet."""
        self._folder = folder
        seeds = range(
            HELD_OUT_SEED + base.frames * 100_000, HELD_OUT_SEED + base.frames * 100_000 + clips
        )
        self._groups = [
            [dataclasses.replace(base, seed=seed) for seed in seeds[i : i + group]]
            for i in range(0, clips, group)
        ]

    def __len__(self) -> int:
        return len(self._groups)

    @functools.cached_property
    def _packer(self) -> Packer:
        return Packer(self._folder)

    def __getitem__(self, index: int) -> list[Clip]:
        return [self._packer.pack(spec, every_choice=True) for spec in self._groups[index]]


def verdicts(
    model: Any,
    folder: pathlib.Path,
    pixels: Any,
    base: ClipSpec,
    clips: int,
    device: torch.device,
    workers: int,
    group: int = 4,
) -> list[Verdict]:
    """Judge `clips` held-out clips like `base`, `group` of them at a time."""
    drawn = DataLoader(
        HeldOutClips(folder, base, clips, group), batch_size=None, num_workers=workers
    )
    return [
        verdict for packed in drawn for verdict in judge(model, packed, base.grid, pixels, device)
    ]


def _share(values: list[bool]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def summarize(judged: list[Verdict]) -> dict[str, Any]:
    """Return accuracy by family and form, with chance, numbers, and the refusals."""
    groups: dict[tuple[str, bool], list[Verdict]] = defaultdict(list)
    for v in judged:
        groups[v.question.family, v.is_choice].append(v)
    families = {}
    for family in FAMILIES:
        free, choice = groups[family, False], groups[family, True]
        families[family] = {
            'questions': len(free),
            'free': _share([v.right for v in free]),
            'choice': _share([v.right for v in choice]),
            'chance_choice': round(sum(v.chance for v in choice) / max(1, len(choice)), 4),
            'past_choice': _share([v.right for v in choice if v.question.past]),
        }
    elsewhere = [v for v in judged if v.question.family != 'unanswerable']
    unanswerable = [v for v in judged if v.question.family == 'unanswerable']
    past = [v for v in judged if v.is_choice and v.question.past]
    return {
        'overall_free': _share([v.right for v in judged if not v.is_choice]),
        'overall_choice': _share([v.right for v in judged if v.is_choice]),
        'past_choice': _share([v.right for v in past]),
        'past_chance': round(sum(v.chance for v in past) / max(1, len(past)), 4),
        'refused_unanswerable': _share([v.refused for v in unanswerable]),
        'refused_elsewhere': _share([v.refused for v in elsewhere]),
        'families': families,
    }


def table(result: dict[str, Any]) -> str:
    """Return the results as Markdown."""

    def percent(value: float | None) -> str:
        return '–' if value is None else f'{100.0 * value:.1f}'

    standard = result['standard']
    lines = [
        '# Accuracy on held-out scenes',
        '',
        f'Command: `{result["command"]}`',
        '',
        'Percent; *chance* is a blind guess among the choices (free form: about 0).',
        '',
        '| family | questions | free | choice | chance |',
        '| --- | --- | --- | --- | --- |',
    ]
    lines += [
        f'| {name} | {f["questions"]} | {percent(f["free"])} | {percent(f["choice"])} | '
        f'{percent(f["chance_choice"])} |'
        for name, f in standard['families'].items()
    ]
    lines += [
        f'| **all** | | {percent(standard["overall_free"])} | '
        f'{percent(standard["overall_choice"])} | |',
        '',
        f'Refusals: {percent(standard["refused_unanswerable"])} where nothing can be told, '
        f'{percent(standard["refused_elsewhere"])} elsewhere.',
        '',
        '| variation | free | choice | choice, about the past | chance there |',
        '| --- | --- | --- | --- | --- |',
    ]
    lines += [
        f'| {name} | {percent(r["overall_free"])} | {percent(r["overall_choice"])} | '
        f'{percent(r["past_choice"])} | {percent(r["past_chance"])} |'
        for name, r in result.items()
        if name != 'command'
    ]
    return '\n'.join(lines) + '\n'


def evaluate(
    folder: pathlib.Path,
    out: pathlib.Path,
    clips: int,
    names: list[str],
    device: torch.device,
    workers: int,
) -> dict[str, Any]:
    """Measure `folder` on `clips` clips (a quarter of that for each variation)."""
    model = load_stock(folder)
    model.to(device).eval()
    model.refusal_token = Packer(folder).encode(REFUSAL)[0]
    pixels = load_processor(folder).pixels
    command = f'python -m training.evaluate --model {folder} --clips {clips}'
    result: dict[str, Any] = {'command': command}
    for name in names:
        base = dataclasses.replace(STANDARD, **VARIATIONS[name])
        count = clips if name == 'standard' else max(1, clips // 4)
        result[name] = summarize(verdicts(model, folder, pixels, base, count, device, workers))
        print(name, {k: v for k, v in result[name].items() if k != 'families'}, flush=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / 'accuracy.json').write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')
    (out / 'accuracy.md').write_text(table(result), encoding='utf-8')
    return result


def main() -> None:
    """Evaluate as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--model', type=pathlib.Path, default=pathlib.Path('streamvlm_ros/models/tiny')
    )
    parser.add_argument('--out', type=pathlib.Path, default=pathlib.Path('training/results'))
    parser.add_argument('--clips', type=int, default=500)
    parser.add_argument(
        '--variations', nargs='*', default=list(VARIATIONS), choices=list(VARIATIONS)
    )
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--workers', type=int, default=0, help='processes that draw; 0: none')
    a = parser.parse_args()
    evaluate(
        a.model,
        a.out,
        a.clips,
        ['standard', *[v for v in a.variations if v != 'standard']],
        torch.device(a.device),
        a.workers,
    )


if __name__ == '__main__':
    main()
