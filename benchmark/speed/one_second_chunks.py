# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
StreamingVLM's own protocol: every second 2 frames and 20 tokens of answer that stay in the stream.

    python -m benchmark.speed.one_second_chunks --dimensions 7B 3B --seconds 1000

A chunk of 2 frames in append mode, then ``ask(update_state=True)`` with an answer of 20 tokens,
one after the other as there: frames of the last 16 s are kept, and the turns of the newest 25
answers, which is about the 512 tokens of text that StreamingVLM keeps. Its prompt has no question
in every second; ours has a shortest one. A second's time is taken with the device waited for.

Its own code took 1.09 s for a second at 448 x 448 on an H100 with random 7B weights, and 0.06 s
or more for eviction (0.78 s in its append mode, 1.26 s at 1280 x 720); published are 8 fps, and
0.05 s for a token.
"""

from __future__ import annotations

import time
from typing import Any

from benchmark.common import card, harness
from benchmark.common.dimensions import build
from benchmark.common.timing import percentiles, Timer
from streamvlm_ros.engine import StreamSettings, VideoStreamingInference
from streamvlm_ros.stamps import NANOSECONDS

FRAMES, TOKENS, KEPT_TURNS, QUESTION = 2, 20, 25, 'Go on.'
THEIRS = {(448, 448): 1.09 + 0.06, (1280, 720): 1.26 + 0.06}


def tokens_a_patch(width: int, height: int) -> int:
    """Return the tokens that two frames of this size take, as it is."""
    return round(width / 28) * round(height / 28)


def measure(
    name: str, size: tuple[int, int], arguments: Any, model: tuple[Any, Any]
) -> dict[str, Any]:
    """Return one row."""
    width, height = size
    arguments.width, arguments.height = size
    clip = harness.frames(arguments, 16)
    pixels = tokens_a_patch(width, height) * 28 * 28
    engine = VideoStreamingInference(
        *model,
        settings=StreamSettings(
            chunk_frames=FRAMES,
            position_mode='append',
            sample_rate=0.0,
            min_pixels=pixels,
            max_pixels=pixels,
            memory_seconds=arguments.window,
            kept_turns=KEPT_TURNS,
            capacity=2
            * round(
                (arguments.window + 2) * tokens_a_patch(width, height)
                + (KEPT_TURNS + 2) * 4 * TOKENS
            ),
        ),
    )
    timed = Timer(arguments.device)
    all_of_it, frames, first, token = [], [], [], []
    for second in range(arguments.seconds):
        timed.wait()
        began = time.perf_counter()
        for number in range(FRAMES):
            engine.append_frame(
                clip[(2 * second + number) % len(clip)],
                second * NANOSECONDS + number * NANOSECONDS // FRAMES,
            )
        submitted = time.perf_counter()
        _, metrics = engine.ask(QUESTION, TOKENS, update_state=True)
        timed.wait()
        if second < 2 * arguments.window:
            continue  # the window is not full yet
        all_of_it.append(time.perf_counter() - began)
        frames.append(submitted - began)
        first.append(metrics['ttft'])
        token.append((metrics['total'] - metrics['ttft']) / (metrics['completion_tokens'] - 1))
    info = engine.get_cache_info()
    whole, each = percentiles(all_of_it), percentiles(token)
    their = THEIRS.get(size)
    return {
        'model': name,
        'size': f'{width}x{height}',
        'seconds': arguments.seconds,
        'cached': info.tokens,
        'evicted': info.evicted_tokens,
        'chunk p50 s': whole['p50'],
        'chunk p95 s': whole['p95'],
        'worst s': round(max(all_of_it), 4),
        'frames until submitted p50 s': percentiles(frames)['p50'],
        'first token p50 s': percentiles(first)['p50'],
        'token p50 s': each['p50'],
        'fps': round(FRAMES / whole['p50'], 1),
        'StreamingVLM s (7B)': their or '',
        'times faster': round(their / whole['p50'], 1) if their else '',
    }


def main(argv: list[str] | None = None) -> None:
    """Measure and write ``results/one_second_chunks``."""
    made = card.parser(__doc__ or '')
    made.add_argument('--seconds', type=int, default=1000, help='of stream')
    made.add_argument('--window', type=int, default=16, help='seconds')
    made.add_argument('--sizes', nargs='+', default=['448x448', '1280x720'])
    arguments = made.parse_args(argv)
    if arguments.seconds <= 2 * arguments.window:
        made.error('--seconds must be more than two windows.')
    sizes: list[tuple[int, int]] = []
    for text in arguments.sizes:
        width, height = map(int, text.split('x'))
        sizes.append((width, height))
    rows: list[dict[str, Any]] = []
    for name in arguments.dimensions:
        model = build(name, arguments.device, harness.DTYPES[arguments.dtype])
        for size in sizes:
            rows.append(measure(name, size, arguments, model))
            print(rows[-1], flush=True)
            harness.write(
                'one_second_chunks',
                {
                    **card.describe(arguments),
                    'question': QUESTION,
                    'tokens': TOKENS,
                    'kept_turns': KEPT_TURNS,
                    'position_mode': 'append',
                    'rows': rows,
                },
                rows,
                arguments.out,
                show=False,
            )
            card.free(arguments.device)
        del model
        card.free(arguments.device)
    print((arguments.out / 'one_second_chunks.md').read_text(encoding='utf-8'))


if __name__ == '__main__':
    main()
