# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether questions with a view are answered as stock transformers answers on their frames.

    python -m benchmark.exactness.views --questions 500

Random models and `tiny`, in float32 on the CPU. While a question is read and answered, 8 others
are open, and one chunk of frames comes in, or 50. Its tokens have to be those of stock `generate`
on a prompt of its frames alone, built by the model's chat template, and the stream has to be, to
the byte, a twin's that nobody asks. `memory_and_now` is compared while nothing is evicted. The
exit code is 1 if a token or a byte differs.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import random
import sys
import time
from typing import Any

import numpy as np
import torch

from benchmark.common import harness
from benchmark.common.dimensions import build
from benchmark.exactness import view_reference as reference
from streamvlm_ros.engine import (
    load_processor,
    resolve_model,
    StreamQwenModel,
    StreamSettings,
    VideoStreamingInference,
)
from streamvlm_ros.view import View, ViewName

MODELS = ('random', 'tiny')
VIEWS: tuple[ViewName, ...] = ('now', 'span', 'memory_and_now')
QUESTIONS = (
    'How many objects do you see now?',
    'Where is the red ball now?',
    'Which object went out last?',
    'Is the light green?',
)
SIZES = ((56, 84), (84, 56), (112, 112), (70, 95))
LEAST, MOST, SHARP = 28 * 28, 4 * 28 * 28, 12 * 28 * 28  # pixels: bounds, and those of now
TOKENS, OTHERS, CHUNKS = 6, 8, 50


@functools.cache
def stock_and_ours(name: str) -> tuple[reference.Stock, StreamQwenModel, Any]:
    """Return stock transformers, our model with the same weights, and the processor."""
    if name == 'tiny':
        folder = resolve_model('tiny')
        model = StreamQwenModel.from_pretrained(folder, dtype='float32')
        processor = load_processor(folder)
    else:
        model, processor = build('toy', 'cpu', torch.float32)
        torch.manual_seed(1)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:  # otherwise every small random model says the same
                    parameter.normal_(std=1.2 * parameter[0].numel() ** -0.5)
            for pad in ('<|video_pad|>', '<|image_pad|>'):  # stock would take it for a picture
                model.lm_head.weight[processor.tokenizer.convert_tokens_to_ids(pad)] = 0.0
    return reference.Stock(model, processor), model, processor


@dataclasses.dataclass(frozen=True)
class Case:
    """One question: what is streamed before and while it is answered, and what it looks at.

    Attributes:
        view: its name.
        before: frames before it is asked.
        chunks: that come while it is open.
        settings: the stream's.
        seed: of the pictures, and of what else is asked.

    """

    view: ViewName
    before: int
    chunks: int
    settings: StreamSettings
    seed: int

    @classmethod
    def random(cls, view: ViewName, seed: int) -> Case:
        """Return the case of a seed; every twentieth has all chunks."""
        rng = random.Random(f'{view} {seed}')
        settings = StreamSettings(
            sample_rate=0.0,
            chunk_frames=rng.choice((2, 4, 6, 8)),
            position_mode=rng.choice(('continuous', 'append')),
            min_pixels=LEAST,
            max_pixels=MOST,
            now_max_pixels=rng.choice((MOST, SHARP)),
            now_frames=rng.randint(1, 6),
            view_frames=rng.choice((2, 6, 16)),
            open_views=3,
            capacity=1 << 13,
            rebase_position=1 << 20,  # of the stream, which would wait for the answers
        )
        return cls(view, rng.randint(1, 20), CHUNKS if not seed % 20 else 1, settings, seed)

    @functools.cached_property
    def pictures(self) -> list[reference.Picture]:
        """All frames of the stream, before the question and after it."""
        rng, dice = np.random.default_rng(self.seed), random.Random(self.seed)
        step = dice.choice((0.25, 0.5, 1.0, 4.0 if self.view == 'span' else 1.0))
        count = self.before + self.chunks * self.settings.chunk_frames
        # Another size begins a vision segment; with the memory in it the prompt is one video.
        change = dice.randrange(2 * count) if self.view != 'memory_and_now' else count
        sizes = dice.choice(SIZES), dice.choice(SIZES)
        pictures, stamp_ns = [], reference.SECOND
        for number in range(count):
            height, width = sizes[number >= change]
            small = rng.integers(0, 256, (4, 4, 3), np.uint8)
            rows, columns = np.arange(height) * 4 // height, np.arange(width) * 4 // width
            pictures.append(reference.Picture(stamp_ns, small[rows][:, columns]))
            stamp_ns += round(step * dice.uniform(0.5, 1.5) * reference.SECOND)
        return pictures

    def look(self) -> tuple[View, list[reference.Video]]:
        """Return the view, and what it has to show."""
        seen, dice = self.pictures[: self.before], random.Random(self.seed + 1)
        settings, small = self.settings, (LEAST, MOST)
        if self.view == 'span':
            first, last = sorted(dice.choices(range(len(seen)), k=2))
            since = seen[first].stamp_ns if dice.random() < 0.7 else 0
            until = seen[last].stamp_ns if dice.random() < 0.7 else 0
            videos = reference.span(seen, since, until, settings.view_frames, small)
            return View('span', since, until), videos
        large = LEAST, settings.now_max_pixels
        videos = reference.newest(seen, settings.now_frames, large)
        if self.view == 'memory_and_now':
            chunk = settings.chunk_frames if settings.position_mode == 'append' else 0
            videos = [*reference.whole(seen, small, chunk), *videos]
        return View(self.view), videos


def play(name: str, case: Case) -> tuple[list[int], list[int], bool]:
    """Return our tokens and stock's, and whether the stream is its twin to the byte."""
    stock, model, processor = stock_and_ours(name)
    engine, twin = (
        VideoStreamingInference(model, processor, settings=case.settings) for _ in range(2)
    )
    pictures, dice = case.pictures, random.Random(case.seed + 2)
    for picture in pictures[: case.before]:
        _show(engine, twin, picture)
    view, videos = case.look()
    question = dice.choice(QUESTIONS)
    asked = engine.questions
    views: tuple[ViewName, ...] = ('memory', 'now', 'memory', 'span')
    kinds: list[ViewName] = [*views[:1] * (OTHERS - 2), dice.choice(views), dice.choice(views)]
    others = [asked.begin(dice.choice(QUESTIONS), 4, view=kind) for kind in kinds]
    mine = asked.begin(question, TOKENS, view=view)
    waiting = list(pictures[case.before :])
    every = [mine, *others]
    while waiting or not all(each.ended for each in every):
        for picture in waiting[: case.settings.chunk_frames]:
            _show(engine, twin, picture)
        del waiting[: case.settings.chunk_frames]
        for each in every:
            asked.advance(each)
        asked.decode(every)
    tokens = list(mine.tokens)
    for each in every:
        asked.close(each)
    same = _bytes(engine) == _bytes(twin)
    return tokens, stock.answer(videos, question, tokens, TOKENS), same


def _show(
    engine: VideoStreamingInference, twin: VideoStreamingInference, picture: reference.Picture
) -> None:
    for each in (engine, twin):
        each.append_frame(picture.image, picture.stamp_ns)


def _bytes(engine: VideoStreamingInference) -> tuple[Any, ...]:
    """Return all that a stream consists of."""
    stream = engine.stream
    content = [
        side.numpy().tobytes()
        for layer in range(len(stream.cache.keys))
        for side in stream.cache.content(layer)
    ]
    return stream.cache.spans, stream.state, stream.place, len(stream.pending), content


def main() -> int:
    """Run the comparison; return the exit code."""
    parser = harness.parser(__doc__)
    parser.add_argument('--questions', type=int, default=500, help='for every view and model')
    parser.add_argument('--models', nargs='+', choices=MODELS, default=MODELS)
    parser.add_argument('--views', nargs='+', choices=VIEWS, default=VIEWS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in arguments.models:
        for view in arguments.views:
            began = time.monotonic()
            found: collections.Counter[str] = collections.Counter()
            for seed in range(arguments.questions):
                tokens, expected, same = play(name, Case.random(view, seed))
                found['tokens'] += len(expected)
                found['differing answers'] += tokens != expected
                found['differing streams'] += not same
                if tokens != expected or not same:
                    print(name, view, seed, tokens, expected, same, flush=True)
            rows.append(
                {
                    'model': name,
                    'view': view,
                    'questions': arguments.questions,
                    'tokens': found['tokens'],
                    'differing answers': found['differing answers'],
                    'differing streams': found['differing streams'],
                    'minutes': round((time.monotonic() - began) / 60, 1),
                }
            )
            harness.write('exactness_views', {'command': ' '.join(sys.argv), 'rows': rows}, rows)
    return int(any(row['differing answers'] or row['differing streams'] for row in rows))


if __name__ == '__main__':
    sys.exit(main())
