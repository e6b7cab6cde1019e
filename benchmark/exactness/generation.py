# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Repetition penalties: whether tokens are those of stock transformers, and what they cost.

    python -m benchmark.exactness.generation --clips 20                               # on a CPU
    python -m benchmark.exactness.generation --device cuda --dtype float32
    python -m benchmark.exactness.generation --device cuda --dtype bfloat16 --speed 7B 3B

Random models, greedy answers of 50 tokens, alone and three with different penalties as one batch.
Each token is judged after our own tokens before it, by the logits of stock transformers in float32
and in the number format, with stock's own processor. In float32 every token must be stock's; in
bfloat16 it must be float32's, or so close to it that stock's own error could swap the two. The
exit code is 1 if one is not. Then, on a GPU, a token's time at the published dimensions without
and with a penalty, in turns.
"""

from __future__ import annotations

import collections
import sys
import time
from typing import Any

import torch

from benchmark.common import card, harness
from benchmark.common.dimensions import build, TEXT
from benchmark.common.timing import quartiles, Timer
from benchmark.exactness.random_models import Case, QUESTIONS, SHAPES, SIZES
from streamvlm_ros.answer_settings import AnswerSettings
from streamvlm_ros.engine import StreamQwenModel, StreamSettings, VideoStreamingInference

# Three questions of one batch: as published, none, a strong one; and others.
PENALTIES = ((1.05, 1.0, 1.5), (1.2, 0.8, 1.05))
SIDE, CACHED, TOKENS, TURNS, BRANCHES = 448, 8192, 64, 12, 8


def check(arguments: Any, result: dict[str, Any]) -> bool:
    """Check the tokens of random models; return whether all are right."""
    right = True
    for shape in arguments.shapes:
        case = Case(shape, arguments.device, harness.DTYPES[arguments.dtype])
        found: collections.Counter[str] = collections.Counter()
        with torch.inference_mode():
            for clip in range(arguments.clips):
                case.show(SIZES[clip % len(SIZES)], seed=clip)
                found.update(case.answers(PENALTIES[clip % len(PENALTIES)]))
        row = {'shape': shape, 'clips': arguments.clips, **found}
        exact = found['as_stock'] == found['tokens'] or arguments.dtype != 'float32'
        right = right and exact and not found['wrong']
        result['rows'].append(row)
        _write(arguments, result)
        print(row, flush=True)
        del case
        card.free(arguments.device)
    return right


@torch.inference_mode()
def measure(name: str, arguments: Any) -> dict[str, Any]:
    """Return a token's time in ms without a penalty and with one, for one answer and for several.

    Both are taken in turns, so that a card that gets slower does so for both.
    """
    with torch.inference_mode(False):
        model, processor = build(name, arguments.device, harness.DTYPES[arguments.dtype])
    engine = _filled(model, processor)
    timed = Timer(arguments.device)
    found: dict[str, Any] = {'model': name, 'cached': engine.get_cache_info().tokens}
    for branches in (1, BRANCHES):
        times: dict[float, list[float]] = {1.0: [], 1.05: []}
        for turn in range(TURNS + 2):
            for penalty, own in times.items():
                settings = AnswerSettings('plain', repetition_penalty=penalty)
                ms = _token_ms(engine, settings, branches, timed)
                if turn >= 2:  # before that, passes are recorded
                    own.append(ms)
        plain, penalized = (quartiles(own) for own in times.values())
        found |= {
            f'plain_ms_of_{branches}': plain,
            f'penalized_ms_of_{branches}': penalized,
            f'ratio_of_{branches}': round(penalized[1] / plain[1], 4),
        }
    return found


def _filled(model: StreamQwenModel, processor: Any) -> VideoStreamingInference:
    """Return a stream with CACHED tokens."""
    engine = VideoStreamingInference(
        model,
        processor,
        settings=StreamSettings(
            sample_rate=0.0,
            min_pixels=SIDE**2,
            max_pixels=SIDE**2,
            memory_tokens=CACHED + 4096,
        ),
    )
    generator = torch.Generator().manual_seed(0)
    stamp = 0
    while engine.get_cache_info().tokens < CACHED:
        stamp += 250_000_000
        image = torch.randint(256, (SIDE, SIDE, 3), dtype=torch.uint8, generator=generator)
        engine.append_frame(image.numpy(), stamp)
    return engine


def _token_ms(
    engine: VideoStreamingInference, settings: AnswerSettings, branches: int, timed: Timer
) -> float:
    """Return the time of a decode step, over an answer of TOKENS tokens."""
    questions = engine.questions
    opened = [questions.open('What happened?', TOKENS, False, settings) for _ in range(branches)]
    try:
        for _ in range(4):
            questions.decode(opened)
        timed.wait()
        began, steps = time.perf_counter(), 0
        while not opened[0].ended:
            questions.decode(opened)
            steps += 1
        timed.wait()
        return 1e3 * (time.perf_counter() - began) / steps
    finally:
        for each in opened:
            questions.abandon(each)


def _write(arguments: Any, result: dict[str, Any]) -> None:
    name = f'generation_{torch.device(arguments.device).type}_{arguments.dtype}'
    harness.write(name, result, result['rows'], arguments.out, show=False)


def main(argv: list[str] | None = None) -> int:
    """Check and measure as the command line says; return the exit code."""
    made = card.parser(__doc__ or '')
    made.set_defaults(device='cpu', dtype='float32')
    made.add_argument('--shapes', nargs='*', choices=list(SHAPES), help='by the device')
    made.add_argument('--clips', type=int, default=4, help='of each shape')
    made.add_argument('--speed', nargs='*', choices=list(TEXT), default=[], help='dimensions')
    arguments = made.parse_args(argv)
    cpu = torch.device(arguments.device).type == 'cpu'
    if arguments.shapes is None:
        arguments.shapes = [shape for shape in SHAPES if (shape == 'toy') == cpu]
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    result: dict[str, Any] = {
        **card.describe(arguments),
        'questions': len(QUESTIONS),
        'penalties': PENALTIES,
        'rows': [],
        'speed': [],
    }
    right = check(arguments, result)
    for name in arguments.speed:
        result['speed'].append(measure(name, arguments))
        _write(arguments, result)
        print(result['speed'][-1], flush=True)
        card.free(arguments.device)
    return 0 if right else 1


if __name__ == '__main__':
    sys.exit(main())
