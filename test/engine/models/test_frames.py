# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Preprocessing in plain torch, held to the stock processors."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from support.models.random_models import random_clip
from support.reference.stock_video import stock_video, video_processor
from support.whole import sampled
import torch
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from benchmark.common.pictures import hard_edged, PICTURES
from streamvlm_ros.engine import ErrorCode, StreamError
from streamvlm_ros.engine.models.preprocessing import (
    smart_resize,
    to_patches,
)
from streamvlm_ros.engine.models.qwen2_5_vl.model import QWEN2_5_VL
from streamvlm_ros.engine.stream.frames import check_image

SETTINGS = dataclasses.replace(QWEN2_5_VL.pixels, min_pixels=56 * 56, max_pixels=40 * 28 * 28)
# One grey level, in the model's normalised entries.
LEVEL = 1 / 255 / min(SETTINGS.std)


def stock_patches(images: list[np.ndarray]) -> tuple[torch.Tensor, list[int]]:
    """Return what transformers' PIL processor makes of one temporal patch of equal frames."""
    stock = Qwen2VLImageProcessorPil(
        size={'shortest_edge': SETTINGS.min_pixels, 'longest_edge': SETTINGS.max_pixels}
    )
    out = stock(images[0], return_tensors='pt')
    return out['pixel_values'], out['image_grid_thw'][0].tolist()


@pytest.mark.parametrize(
    'height, width',
    [(56, 56), (112, 84), (480, 640), (100, 333), (720, 1280), (30, 200), (29, 29)],
)
def test_patches_equal_those_of_pil(height: int, width: int) -> None:
    """Same grid, same order; PIL's weights have other fractions, so its bytes may round apart."""
    image = hard_edged(height, width)
    expected, (t, h, w) = stock_patches([image])
    patches, grid = to_patches([image, image], SETTINGS, torch.device('cpu'))
    assert (grid.t, 2 * grid.h, 2 * grid.w) == (t, h, w)
    resized = (h * 14, w * 14) != (height, width)
    assert (patches - expected).abs().max() < (1.01 * LEVEL if resized else 1e-5)


# Height, width and frames of videos; the sizes of a robot's cameras come first.
VIDEOS = sampled(
    [
        (480, 640, 4),
        (112, 84, 4),
        (720, 1280, 2),
        (64, 64, 3),
        (56, 56, 2),
        (100, 333, 1),
        (376, 672, 2),
        (1080, 1920, 2),
        (1440, 2560, 2),
        (2160, 3840, 2),
    ],
    6,
)


@pytest.mark.parametrize('picture', PICTURES)
@pytest.mark.parametrize('height, width, count', VIDEOS)
def test_patches_equal_the_stock_video_processors(
    height: int, width: int, count: int, picture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit, in the stock order, an odd frame completed as there."""
    frames = [PICTURES[picture](height, width, seed) for seed in range(count)]
    stock = video_processor(
        monkeypatch,
        size={'shortest_edge': SETTINGS.min_pixels, 'longest_edge': SETTINGS.max_pixels},
    )
    expected, thw = stock_video(stock, frames)
    completed = [*frames, *frames[-1:] * (count % 2)]
    patches, grid = to_patches(completed, SETTINGS, torch.device('cpu'))
    assert thw == [grid.t, 2 * grid.h, 2 * grid.w]
    assert torch.equal(patches, expected)


def test_two_different_frames_share_a_temporal_patch() -> None:
    """A patch holds both frames' pixels, channel by channel, first frame first."""
    frames = random_clip(0, 2, 56, 56)
    patches, _ = to_patches(frames, SETTINGS, torch.device('cpu'))
    inside = patches.view(-1, 3, 2, 14, 14)[0]
    for i, frame in enumerate(frames):
        corner = torch.from_numpy(frame[:14, :14]).permute(2, 0, 1) / 255
        mean, std = (torch.tensor(x)[:, None, None] for x in (SETTINGS.mean, SETTINGS.std))
        assert torch.allclose(inside[:, i], (corner - mean) / std, atol=1e-5)


def test_sizes_stay_within_the_bounds() -> None:
    """Whatever comes in, sides are multiples of 28 and the pixel bounds hold."""
    rng = np.random.default_rng(0)
    for height, width in rng.integers(1, 3000, (300, 2)).tolist():
        if max(height, width) > 30 * min(height, width):
            continue
        h, w = smart_resize(height, width, SETTINGS)
        assert h % 28 == w % 28 == 0
        assert SETTINGS.min_pixels <= h * w <= SETTINGS.max_pixels


@pytest.mark.parametrize(
    'image, sentence',
    [
        (np.zeros((4, 4), np.uint8), 'RGB uint8'),
        (np.zeros((4, 4, 4), np.uint8), 'RGB uint8'),
        (np.full((4, 4, 3), np.nan), 'float64'),
        (np.zeros((0, 4, 3), np.uint8), 'no pixels'),
        (np.zeros((1, 999, 3), np.uint8), 'one side'),
        (None, 'RGB uint8'),
        ('image', 'RGB uint8'),
        ([[1, 2], [3]], 'RGB uint8'),
        (np.zeros((4, 4, 3), np.int8), 'int8'),
        (np.broadcast_to(np.uint8(7), (1 << 20, 1 << 20, 3)), 'at most 67108864 are taken'),
    ],
)
def test_what_is_no_image_is_refused(image: Any, sentence: str) -> None:
    """Each with a sentence."""
    with pytest.raises(StreamError, match=sentence) as caught:
        check_image(image)
    assert caught.value.code is ErrorCode.INVALID_REQUEST


def test_an_image_has_a_largest_size() -> None:
    """In pixels, whatever its sides."""
    for height, width in ((40, 50), (100, 20)):
        image = np.zeros((height, width, 3), np.uint8)
        assert check_image(image, 2000) is image
        with pytest.raises(StreamError, match=f'{width}x{height}, 2000 pixels; at most 1999'):
            check_image(image, 1999)
