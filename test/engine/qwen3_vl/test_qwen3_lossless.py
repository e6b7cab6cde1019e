# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A streamed Qwen3-VL gives the offline model's answer, token for token."""

from __future__ import annotations

import itertools
import random
import types

import numpy as np
import pytest
from support.models.random_models import random_clip
from support.models.random_qwen3 import PIXELS, processor, random_model, SHAPES
from support.reference.play import answer_of
from support.reference.qwen3 import generate, stock_model, video_text
from support.reference.stock_video import QWEN3_VL, stock_video, video_processor
from support.whole import sampled
import torch
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor

from streamvlm_ros.engine import StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.models.preprocessing import to_patches

SIZES = ((64, 64), (96, 64), (64, 128), (120, 90), (64, 200), (240, 320), (20, 30))
QUESTION = 'What happened?'
BEFORE = '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n'
ASSISTANT = '<|im_end|>\n<|im_start|>assistant\n'


def encode(text: str) -> list[int]:
    """Return token ids of a prompt written out."""
    return processor().tokenizer.encode(text, add_special_tokens=False)


def random_case(seed: int) -> tuple[str, int, list[np.ndarray], list[float]]:
    """Return model shape, chunk size, frames, and stamps with jitter and gaps (seconds)."""
    rng = random.Random(seed)
    height, width = rng.choice(SIZES)
    count = rng.randint(1, 17)
    begin = rng.choice((0.0, 3.25, 1_700_000_000.0))
    steps = (rng.choice((0.125, 0.5, 0.5)) + (rng.random() < 0.1) * 9 for _ in range(count))
    stamps = [begin + each for each in itertools.accumulate(steps)]
    if seed % 2:  # with jitter; large doubles have no digits for it
        stamps = [each - begin + rng.choice((-0.06, 0.0, 0.0612)) for each in stamps]
    frames = random_clip(seed, count, height, width)
    return list(SHAPES)[seed % len(SHAPES)], rng.choice((2, 4, 6, 8)), frames, stamps


def stream(shape: str, chunk: int, **settings) -> VideoStreamingInference:
    """Return an engine on a random model."""
    return VideoStreamingInference(
        random_model(shape),
        processor(),
        settings=StreamSettings(chunk_frames=chunk, sample_rate=0.0, **settings),
    )


def offline(shape, frames, stamps, text: str, most: int) -> tuple[list[int], torch.Tensor, int]:
    """Return stock's answer to a text after a clip: tokens, first logits, and the prompt's length.

    Frames of other sizes begin another video; an odd last one is repeated.
    """
    prompt, grids, patches = BEFORE, [], []
    pairs = itertools.groupby(zip(frames, stamps), lambda pair: pair[0].shape)
    for _, group in pairs:
        images, times = (list(each) for each in zip(*group))
        if len(images) % 2:
            images, times = [*images, images[-1]], [*times, times[-1]]
        cut, grid = to_patches(images, PIXELS, torch.device('cpu'))
        # As an integer of nanoseconds, which is what a header stamp is.
        seconds = [(round(t * 1e9) - round(stamps[0] * 1e9)) / 1e9 for t in times]
        prompt += video_text(seconds, grid.h * grid.w)
        grids += [(grid.h, grid.w)] * grid.t
        patches.append(cut)
    ids = encode(prompt + text)
    return *generate(shape, ids, grids, torch.cat(patches), most), len(ids)


@pytest.mark.parametrize('seed', sampled(range(45), 15))
def test_streamed_equals_the_whole_video(seed):
    """Chunks prefilled one by one answer as stock transformers does on the whole clip."""
    shape, chunk, frames, stamps = random_case(seed)
    engine = stream(shape, chunk, position_mode=('continuous', 'append')[seed % 2])
    for frame, stamp in zip(frames, stamps):
        engine.append_frame(frame, round(stamp * 1e9))
    tokens, logits = answer_of(engine, QUESTION, 6, keep=False)
    expected, wanted, length = offline(shape, frames, stamps, QUESTION + ASSISTANT, 6)
    assert (logits - wanted).abs().max() < 1e-4
    assert tokens == expected
    assert engine.ask(QUESTION, max_new_tokens=1)[1]['prompt_tokens'] == length


@pytest.mark.parametrize('seed', sampled(range(300, 400), 2))
def test_streamed_equals_stock_generate(seed, monkeypatch):
    """Stock's processors, positions, cache and ``generate`` on the whole clip, greedily."""
    shape, chunk, frames, stamps = random_case(seed)
    # In milliseconds, which stock is given as numbers of frames of a video with 1000 a second.
    indices = [round(1000 * (stamp - stamps[0])) for stamp in stamps]
    engine = stream(shape, chunk)
    for frame, index in zip(frames, indices):
        engine.append_frame(frame, (5_000_000 + index) * 10**6)
    tokens, _ = answer_of(engine, QUESTION, 8, keep=False)
    if len(frames) % 2:
        frames, indices = [*frames, frames[-1]], [*indices, indices[-1]]
    size = {'longest_edge': PIXELS.max_pixels * len(frames), 'shortest_edge': 4096}
    mean = {'image_mean': [0.5] * 3, 'image_std': [0.5] * 3}
    made = video_processor(monkeypatch, QWEN3_VL, size=size, **mean)
    patches, grid = stock_video(made, frames, cap_pixels_per_frame=True)
    texts = object.__new__(Qwen3VLProcessor)
    texts.video_processor, texts.video_token = made, '<|video_pad|>'
    texts.vision_start_token, texts.vision_end_token = '<|vision_start|>', '<|vision_end|>'
    video = {
        'video_grid_thw': torch.tensor([grid]),
        'video_metadata': [types.SimpleNamespace(fps=1000, frames_indices=indices)],
    }
    text = texts.replace_video_token(video, 0)
    ids = torch.tensor([encode(f'{BEFORE}{text}{QUESTION}{ASSISTANT}')])
    stock = stock_model(shape)
    out = stock.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        mm_token_type_ids=2 * (ids == stock.config.video_token_id).long(),
        pixel_values_videos=patches,
        video_grid_thw=video['video_grid_thw'],
        do_sample=False,
        max_new_tokens=8,
        eos_token_id=encode('<|im_end|>')[0],
        pad_token_id=encode('<|im_end|>')[0],
    )
    assert tokens == out[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize('shape', SHAPES)
def test_sizes_change_and_choices(shape):
    """Frames of two sizes; the probabilities of choices of unequal length."""
    frames = [*random_clip(1, 5, 64, 96), *random_clip(2, 4, 96, 64)]
    stamps = [0.5 * index for index in range(9)]
    engine = stream(shape, 4)
    for frame, stamp in zip(frames, stamps):
        engine.append_frame(frame, stamp)
    choices = ['red', 'a dog', 'no']
    chosen = engine.ask_choice('Which?', choices).probabilities
    asked = f'Which?\nAnswer with one of: {", ".join(sorted(choices))}.{ASSISTANT}'
    scores = []
    for choice in choices:
        score, said = 0.0, ''
        for token in encode(f'{choice}<|im_end|>'):
            logits = offline(shape, frames, stamps, asked + said, 1)[1]
            score += float(logits.log_softmax(-1)[token])
            said += processor().tokenizer.decode([token])
        scores.append(score)
    expected = torch.tensor(scores).softmax(0)
    assert torch.allclose(torch.tensor(chosen), expected, atol=1e-5)


def test_the_reference_tells_clips_and_times_apart():
    """Random models look, and read the time: so the tests above can fail."""
    for shape in SHAPES:
        logits = [
            offline(shape, random_clip(clip, 4, 64, 96), stamps, QUESTION + ASSISTANT, 1)[1]
            for clip, stamps in ((1, (0, 0.5, 1, 1.5)), (2, (0, 0.5, 1, 1.5)), (1, (0, 5, 9, 15)))
        ]
        assert (logits[0] - logits[1]).abs().max() > 0.05
        assert (logits[0] - logits[2]).abs().max() > 0.05
