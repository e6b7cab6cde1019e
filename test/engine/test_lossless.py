# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The first promise: streaming gives the offline model's answer, token for token."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import numpy as np
import pytest
from support.models.random_models import (
    PIXELS,
    processor,
    random_clip,
    random_model,
    SHAPES,
    STRETCHED,
)
from support.reference.offline import generate
from support.whole import sampled
import torch

from streamvlm_ros.engine import StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.models.preprocessing import to_patches

SIZES = ((56, 56), (84, 56), (56, 112), (120, 90), (64, 200), (240, 320))
QUESTION = 'What happened?'
BEFORE = '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n'
BEHIND = f'{QUESTION}<|im_end|>\n<|im_start|>assistant\n'


def encode(text: str) -> list[int]:
    """Return token ids of a prompt written out."""
    return processor().tokenizer.encode(text, add_special_tokens=False)


def random_case(seed: int) -> tuple[str, int, list[np.ndarray], list[float]]:
    """Return model shape, chunk size, frames, and stamps with jitter and gaps (seconds)."""
    rng = random.Random(seed)
    height, width = rng.choice(SIZES)
    count = rng.randint(1, 33)
    stamps = list(
        itertools.accumulate(
            rng.choice((0.125, 0.5, 0.5)) + rng.uniform(-0.1, 0.1) + (rng.random() < 0.08) * 9
            for _ in range(count)
        )
    )
    stamps = [stamp for stamp in stamps if stamp <= 60]
    frames = random_clip(seed, len(stamps), height, width)
    return list(SHAPES)[seed % len(SHAPES)], rng.choice((2, 4, 6, 8)), frames, stamps


def stream(shape: str, chunk: int, mode: str) -> VideoStreamingInference:
    """Return an engine on a random model."""
    return VideoStreamingInference(
        random_model(shape),
        processor(),
        settings=StreamSettings(chunk_frames=chunk, position_mode=mode),
    )


def first_logits(engine: VideoStreamingInference) -> torch.Tensor:
    """Return the logits from which an answer's first token is drawn."""
    seen = []
    logits = engine.model.logits
    engine.model.logits = lambda hidden: seen.append(logits(hidden)) or seen[-1]
    try:
        engine.ask(QUESTION, max_new_tokens=1)
    finally:
        del engine.model.logits
    return seen[0][-1]


@pytest.mark.parametrize('seed', sampled(range(45), 18))
def test_continuous_equals_the_whole_video(seed: int) -> None:
    """Chunks prefilled one by one answer as stock transformers does on the whole clip."""
    check_continuous(*random_case(seed))


@pytest.mark.parametrize('seed, shape', sampled(enumerate([*STRETCHED] * 4, start=210), 4))
def test_continuous_equals_the_whole_video_with_stretched_positions(seed: Any, shape: str) -> None:
    """Every way of stretching that is run: its frequencies, and YaRN's scale."""
    check_continuous(shape, *random_case(seed)[1:])


def check_continuous(shape: str, chunk: Any, frames: Any, stamps: Any) -> None:
    """Hold a stream's answer to stock."""
    engine = stream(shape, chunk, 'continuous')
    for frame, stamp in zip(frames, stamps):
        engine.append_frame(frame, stamp)
    answer, metrics = engine.ask(QUESTION, max_new_tokens=6)

    whole = frames if len(frames) % 2 == 0 else [*frames, frames[-1]]
    patches, grid = to_patches(whole, PIXELS, torch.device('cpu'))
    pads = '<|video_pad|>' * math.prod(grid)
    prompt = encode(f'{BEFORE}<|vision_start|>{pads}<|vision_end|>{BEHIND}')
    stop = encode('<|im_end|>')[0]
    tokens, logits = generate(
        shape, prompt, [((grid.t, grid.h, grid.w), stamps[::2])], patches, 6, stop
    )
    assert answer == processor().tokenizer.decode(tokens, skip_special_tokens=True).strip()
    assert metrics['completion_tokens'] == len(tokens)
    assert metrics['prompt_tokens'] == len(prompt)
    assert torch.allclose(first_logits(engine), logits, atol=1e-4)


@pytest.mark.parametrize('seed', sampled(range(100, 115), 9))
def test_append_equals_one_forward_over_its_segments(seed: int) -> None:
    """In append mode every chunk is a video of its own in one stock prompt."""
    shape, chunk, frames, stamps = random_case(seed)
    engine = stream(shape, chunk, 'append')
    prompt, videos, patches = BEFORE, [], []
    for start in range(0, len(frames), chunk):
        piece, times = frames[start : start + chunk], stamps[start : start + chunk]
        engine.append_video_chunk(piece, stamps=times)
        piece = piece if len(piece) % 2 == 0 else [*piece, piece[-1]]
        cut, grid = to_patches(piece, PIXELS, torch.device('cpu'))
        prompt += f'<|vision_start|>{"<|video_pad|>" * math.prod(grid)}<|vision_end|>'
        videos.append(((grid.t, grid.h, grid.w), times[::2]))
        patches.append(cut)
    answer, _ = engine.ask(QUESTION, max_new_tokens=6)
    tokens, logits = generate(
        shape, encode(prompt + BEHIND), videos, torch.cat(patches), 6, encode('<|im_end|>')[0]
    )
    assert answer == processor().tokenizer.decode(tokens, skip_special_tokens=True).strip()
    assert torch.allclose(first_logits(engine), logits, atol=1e-4)


def test_the_reference_tells_clips_apart() -> None:
    """Random models do look: another clip gives other logits, so the tests above can fail."""
    for shape in SHAPES:
        logits = []
        for seed in (1, 2):
            engine = stream(shape, 4, 'continuous')
            engine.append_video_chunk(random_clip(seed, 4, 112, 84), fps=2)
            logits.append(first_logits(engine))
        assert (logits[0] - logits[1]).abs().max() > 0.05
