# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Ours, stock transformers streaming the eager way, and the offline way, in one run on one card.

    python -m benchmark.speed --dimensions 7B 3B --device cuda

Random weights at the published dimensions, bfloat16, 448 x 448, chunks of 4 frames. Stock streams
into a DynamicCache with explicit positions and keeps the stream clean by a deep copy; offline
prefills the whole prompt again for a question. Medians; the floor of a chunk is its operations
over the card's own matrix rate, that of a token the bytes it reads over the card's own copy rate.
"""

from __future__ import annotations

from collections.abc import Callable
import copy
import statistics
import time
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from benchmark import setup
from benchmark.dimensions import build, chunk_flops, kv_bytes, TEXT, text_bytes
from streamvlm_ros.engine import (
    KVCacheManager,
    StreamQwenModel,
    StreamSettings,
    VideoStreamingInference,
)

SIDE, FRAMES, QUESTION_TOKENS, ANSWER_TOKENS, BRANCHES = 16, 4, 32, 64, 8
CHUNK = FRAMES // 2 * SIDE * SIDE
PIECE = 4096  # tokens that stock's cache is filled with at once


class Timer:
    """Times work on a device, in milliseconds."""

    def __init__(self, device: str) -> None:
        """Take the device."""
        self._cuda = torch.device(device).type == 'cuda'

    def __call__(self, work: Callable[[], Any], times: int = 7, warm: int = 2) -> float:
        """Return the median of `times` runs behind `warm` ones."""
        for _ in range(warm):
            work()
        return statistics.median(self.once(work) for _ in range(times))

    def once(self, work: Callable[[], Any]) -> float:
        """Return the time of one run."""
        self.wait()
        began = time.perf_counter()
        work()
        self.wait()
        return 1e3 * (time.perf_counter() - began)

    def wait(self) -> None:
        """Wait for the device."""
        if self._cuda:
            torch.cuda.synchronize()


def card(timed: Timer, device: str, dtype: torch.dtype) -> dict[str, float]:
    """Return what the card itself does: bytes copied and matrix operations a second."""
    size, edge = (2**31, 8192) if torch.device(device).type == 'cuda' else (2**26, 512)
    source = torch.empty(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copied = timed(lambda: target.copy_(source))
    one, other = (torch.randn(edge, edge, device=device, dtype=dtype) for _ in range(2))
    product = timed(lambda: one @ other)
    return {'bytes_s': 2e3 * size / copied, 'flop_s': 2e3 * edge**3 / product}


def ours(model: StreamQwenModel, processor: Any, cached: int, timed: Timer) -> dict[str, float]:
    """Return the engine's times over `cached` tokens."""
    engine = VideoStreamingInference(model, processor, settings=StreamSettings(
        sample_rate=0.0, chunk_frames=FRAMES, max_pixels=(28 * SIDE) ** 2,
        min_pixels=(28 * SIDE) ** 2, memory_tokens=cached + 20 * CHUNK))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (FRAMES, 28 * SIDE, 28 * SIDE, 3), np.uint8)
    stamp = 0

    def chunk() -> None:
        nonlocal stamp
        for image in images:
            stamp += 250_000_000
            engine.append_frame(image, stamp)

    while engine.get_cache_info().tokens < cached:
        chunk()
    question = 'yes ' * QUESTION_TOKENS
    before = engine.get_cache_info().tokens
    while engine.ask(question, 1)[1]['prompt_tokens'] - before > QUESTION_TOKENS:
        question = question.removesuffix('yes ')
    first = statistics.median(engine.ask(question, 1)[1]['ttft'] for _ in range(9))
    answers = [engine.ask(question, ANSWER_TOKENS)[1] for _ in range(3)]
    decode = statistics.median((a['total'] - a['ttft']) / (a['completion_tokens'] - 1)
                               for a in answers)
    opened = [engine.questions.open(question, ANSWER_TOKENS) for _ in range(BRANCHES)]
    round_ms = timed(lambda: engine.questions.decode(opened), times=16)
    for each in opened:
        engine.questions.abandon(each)
    manager = KVCacheManager(engine._stream.cache)

    def there_and_back() -> None:
        manager.snapshot(model)
        manager.restore(model)

    snapshot = timed(there_and_back)
    return {'chunk_ms': timed(chunk), 'ttft_ms': 1e3 * first, 'token_ms': 1e3 * decode,
            'snapshot_ms': snapshot, f'round_of_{BRANCHES}_ms': round_ms}


def stock(model: StreamQwenModel, cached: int, timed: Timer) -> dict[str, float]:
    """Return the times of transformers' own modules, with the same weights."""
    text, visual = model.model.language_model, model.model.visual
    device, dtype, width = model.device, model.dtype, model.config.text_config.hidden_size
    cache = DynamicCache(config=model.config.text_config)

    def run(tokens: int, start: int, into: DynamicCache | None) -> torch.Tensor:
        hidden = torch.randn(1, tokens, width, device=device, dtype=dtype) * 0.02
        positions = torch.arange(start, start + tokens, device=device).expand(3, 1, -1)
        output = text(inputs_embeds=hidden, position_ids=positions, past_key_values=into,
                      use_cache=into is not None)
        logits: torch.Tensor = model.lm_head(output.last_hidden_state[:, -1:])
        return logits

    for start in range(0, cached, PIECE):
        run(min(PIECE, cached - start), start, cache)
    patches = torch.randn(4 * CHUNK, 1176, device=device, dtype=dtype)
    grid = torch.tensor([[FRAMES // 2, 2 * SIDE, 2 * SIDE]], device=device)

    def chunk() -> None:
        visual(patches, grid_thw=grid)
        run(CHUNK, cached, cache)
        cache.crop(-CHUNK)

    def first() -> None:
        run(QUESTION_TOKENS, cached, cache).argmax(-1).item()
        cache.crop(-QUESTION_TOKENS)

    def decode() -> None:
        for i in range(8):
            run(1, cached + i, cache).argmax(-1).item()
        cache.crop(-8)

    result = {'chunk_ms': timed(chunk), 'ttft_ms': timed(first), 'token_ms': timed(decode, 3) / 8,
              'snapshot_ms': timed(lambda: copy.deepcopy(cache), 3, 1)}
    again = timed(lambda: run(cached + QUESTION_TOKENS, 0, None), 3, 1)
    seen = timed(lambda: visual(patches, grid_thw=grid), 3, 1)
    return result | {'offline_ms': again + seen * cached / CHUNK}


@torch.inference_mode()
def measure(name: str, cached: int, arguments: Any, model: tuple[StreamQwenModel, Any],
            rates: dict[str, float]) -> dict[str, Any]:
    """Return one row: ours, the ratio to stock, the fraction of the floor."""
    timed = Timer(arguments.device)
    our, their = ours(*model, cached, timed), stock(model[0], cached, timed)
    floor_token = 1e3 * (text_bytes(model[0]) + kv_bytes(model[0], cached)) / rates['bytes_s']
    floor_chunk = 1e3 * chunk_flops(model[0], CHUNK, cached) / rates['flop_s']
    many = BRANCHES * our['token_ms'] / our[f'round_of_{BRANCHES}_ms']
    return {'model': name, 'cached': cached, **{k: round(v, 3) for k, v in our.items()},
            **{f'stock_{k}': round(v, 3) for k, v in their.items()},
            'chunk_of_floor': round(floor_chunk / our['chunk_ms'], 3),
            'token_of_floor': round(floor_token / our['token_ms'], 3),
            'chunk_times_faster': round(their['chunk_ms'] / our['chunk_ms'], 2),
            'ttft_times_faster': round(their['ttft_ms'] / our['ttft_ms'], 2),
            'offline_times_slower': round(their['offline_ms'] / our['ttft_ms'], 1),
            'branches_times_tokens': round(many, 2)}


def main(argv: list[str] | None = None) -> None:
    """Measure and write ``results/speed``."""
    made = setup.parser(__doc__ or '')
    made.add_argument('--dimensions', nargs='+', choices=list(TEXT), default=['7B', '3B'])
    made.add_argument('--cached', nargs='+', type=int, default=[8192, 32768, 65536])
    made.set_defaults(device='cuda', dtype='bfloat16')
    arguments = made.parse_args(argv)
    dtype = setup.DTYPES[arguments.dtype]
    rates = card(Timer(arguments.device), arguments.device, dtype)
    rows = []
    for name in arguments.dimensions:
        model = build(name, arguments.device, dtype)
        for cached in arguments.cached:
            rows.append(measure(name, cached, arguments, model, rates))
            print(rows[-1], flush=True)
        del model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    command = (f'python -m benchmark.speed --dimensions {" ".join(arguments.dimensions)} '
               f'--cached {" ".join(map(str, arguments.cached))} --device {arguments.device}')
    setup.write('speed', {'command': command, 'machine': setup.machine(arguments),
                          'card': rates, 'rows': rows}, rows)


if __name__ == '__main__':
    main()
