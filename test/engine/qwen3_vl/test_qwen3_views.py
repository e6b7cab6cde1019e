# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A question to Qwen3-VL with a view: stock's answer on these frames, with times of their own."""

from __future__ import annotations

import pytest
from support.models.random_models import random_clip
from support.models.random_qwen3 import PIXELS, processor, random_model, SHAPES
from support.reference.qwen3 import generate, video_text
import torch

from streamvlm_ros.engine import StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.models.preprocessing import to_patches
from streamvlm_ros.view import View

BEFORE = '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n'
BEHIND = 'What?<|im_end|>\n<|im_start|>assistant\n'
SECOND = 10**9


@pytest.mark.parametrize('shape', SHAPES)
def test_views_are_stocks_on_their_frames(shape: str) -> None:
    """Times of now and of a span begin with it; behind the memory they go on with the stream's."""
    settings = StreamSettings(
        sample_rate=0.0, chunk_frames=4, now_frames=4, now_max_pixels=PIXELS.max_pixels
    )
    engine = VideoStreamingInference(random_model(shape), processor(), settings=settings)
    frames, stamps = random_clip(3, 12, 64, 96), [3 + 0.75 * index for index in range(12)]
    for frame, stamp in zip(frames, stamps):
        engine.append_frame(frame, stamp)
    encode = processor().tokenizer.encode

    def stock(*videos: tuple[range, float]) -> str:
        prompt, patches, grids = BEFORE, [], []
        for shown, began in videos:
            cut, grid = to_patches([frames[i] for i in shown], PIXELS, torch.device('cpu'))
            prompt += video_text([stamps[i] - began for i in shown], grid.h * grid.w)
            patches.append(cut)
            grids += [(grid.h, grid.w)] * grid.t
        tokens, _ = generate(shape, encode(prompt + BEHIND), grids, torch.cat(patches), 6)
        return processor().tokenizer.decode(tokens, skip_special_tokens=True).strip()

    assert engine.ask('What?', 6, view='now').text == stock((range(8, 12), stamps[8]))
    span = View('span', round(stamps[2] * SECOND), round(stamps[7] * SECOND))
    assert engine.ask('What?', 6, view=span).text == stock((range(2, 8), stamps[2]))
    expected = stock((range(12), stamps[0]), (range(8, 12), stamps[0]))
    assert engine.ask('What?', 6, view='memory_and_now').text == expected
    assert engine.ask('What?', 6).text == stock((range(12), stamps[0]))
