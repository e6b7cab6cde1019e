# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The pixel bounds of a model, in every file and spelling: those that stock takes for video."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib
from typing import Any

import numpy as np
import pytest
from support.reference.stock_video import stock_video, video_processor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize as stock_resize

from streamvlm_ros.engine.models.folder.pixel_settings import load_pixel_settings
from streamvlm_ros.engine.models.preprocessing import grid_of, smart_resize
from streamvlm_ros.engine.models.qwen2_5_vl.model import QWEN2_5_VL

FAMILY = QWEN2_5_VL.pixels
LOW, HIGH = 10 * 784, 16 * 784
SPELLINGS = {
    'own': {'min_pixels': LOW, 'max_pixels': HIGH},
    'edges': {'size': {'shortest_edge': LOW, 'longest_edge': HIGH}},
    'pixels in size': {'size': {'min_pixels': LOW, 'max_pixels': HIGH}},
    'own before edges': {
        'min_pixels': LOW,
        'max_pixels': HIGH,
        'size': {'shortest_edge': 784, 'longest_edge': 7840},
    },
    'own is null': {
        'min_pixels': None,
        'max_pixels': None,
        'size': {'shortest_edge': LOW, 'longest_edge': HIGH},
    },
    'one of each': {'min_pixels': LOW, 'size': {'longest_edge': HIGH}},
    'edges before pixels in size': {
        'size': {
            'min_pixels': 784,
            'max_pixels': 7840,
            'shortest_edge': LOW,
            'longest_edge': HIGH,
        }
    },
}
FILES = ('processor_config.json', 'video_preprocessor_config.json', 'preprocessor_config.json')


def write(folder: pathlib.Path, name: Any, content: Any) -> None:
    (folder / name).write_text(json.dumps(content))


def bounds_of(folder: pathlib.Path):
    pixels = load_pixel_settings(folder, FAMILY)
    return pixels.min_pixels, pixels.max_pixels


def stock_bounds(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    size = type(video_processor(monkeypatch)).from_pretrained(folder).size
    return size['shortest_edge'], size['longest_edge']


@pytest.mark.parametrize('spelling', SPELLINGS)
@pytest.mark.parametrize('file', FILES)
def test_every_file_and_spelling(
    file: str, spelling: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stock takes all of them but `size` with pixels, with which it cannot resize."""
    content = SPELLINGS[spelling]
    if file == 'processor_config.json':
        content = {'processor_class': 'Qwen2_5_VLProcessor', 'video_processor': content}
    write(tmp_path, file, content)
    assert bounds_of(tmp_path) == (LOW, HIGH)
    if 'pixels in size' not in spelling:
        assert stock_bounds(tmp_path, monkeypatch) == (LOW, HIGH)


@pytest.mark.parametrize('there', [*itertools.product((False, True), repeat=4)])
def test_the_first_file_counts(
    there: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several files with other bounds, the one that stock's video processor takes."""
    section, video, image, image_section = there
    bounds = [{'size': {'shortest_edge': 784 * i, 'longest_edge': 7840}} for i in range(1, 5)]
    both = {'processor_class': 'Qwen2_5_VLProcessor'}
    both |= {'video_processor': bounds[0]} if section else {}
    both |= {'image_processor': bounds[3]} if image_section else {}
    write(tmp_path, 'processor_config.json', both)
    if video:
        write(tmp_path, 'video_preprocessor_config.json', bounds[1])
    if image:
        write(tmp_path, 'preprocessor_config.json', bounds[2])
    if section or video or image:
        assert bounds_of(tmp_path) == stock_bounds(tmp_path, monkeypatch)
    elif image_section:
        # For stock such a folder has no video processor.
        assert bounds_of(tmp_path) == (4 * 784, 7840)
    else:
        with pytest.raises(ValueError, match=r'has no pixel bounds .* they stand in video_prepro'):
            bounds_of(tmp_path)


@pytest.mark.parametrize(
    'content, missing',
    [
        ({'bos_token': 'x'}, 'min_pixels is missing, which can also be size.shortest_edge or'),
        ({'min_pixels': LOW}, 'max_pixels is missing'),
        ({'size': {'longest_edge': HIGH}}, 'min_pixels is missing'),
        ({'size': {'height': 448, 'width': 448}}, 'min_pixels is missing'),
    ],
)
def test_no_bounds_are_made_up(
    content: dict[str, Any], missing: str, tmp_path: pathlib.Path
) -> None:
    """What stock takes then is its release's; nobody says that the model was trained on it."""
    write(tmp_path, 'preprocessor_config.json', content)
    with pytest.raises(ValueError, match=rf'preprocessor_config\.json has no pixel b.*{missing}'):
        load_pixel_settings(tmp_path, FAMILY)


@pytest.mark.parametrize(
    'key, value',
    [
        ('do_resize', False),
        ('do_rescale', False),
        ('do_normalize', 'yes'),
        ('resample', 2),
        ('rescale_factor', 1 / 256),
        ('rescale_factor', '1/255'),
    ],
)
def test_pixels_that_would_be_others(
    key: str, value: bool | float | str, tmp_path: pathlib.Path
) -> None:
    """A setting that is not the only one we compute with is refused, not ignored."""
    write(tmp_path, 'preprocessor_config.json', {**SPELLINGS['own'], key: value})
    with pytest.raises(ValueError, match=rf'preprocessor_config\.json: {key} is {value!r}; ima'):
        load_pixel_settings(tmp_path, FAMILY)


def test_what_stock_writes(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every key that a release saves is understood or has no effect on pixels."""
    stock = video_processor(monkeypatch, size={'shortest_edge': LOW, 'longest_edge': HIGH})
    stock.save_pretrained(tmp_path)
    assert load_pixel_settings(tmp_path, FAMILY) == dataclasses.replace(
        FAMILY, min_pixels=LOW, max_pixels=HIGH
    )


def test_a_size_that_is_not_an_object(tmp_path: pathlib.Path) -> None:
    """It is named."""
    write(tmp_path, 'preprocessor_config.json', {'size': 7})
    with pytest.raises(ValueError, match=r'preprocessor_config\.json: size is 7; it must be an'):
        load_pixel_settings(tmp_path, FAMILY)


def test_the_size_of_any_image() -> None:
    """Stock's, also of an image that is narrower than half a token."""
    rng = np.random.default_rng(0)
    pixels = dataclasses.replace(FAMILY, min_pixels=LOW, max_pixels=4 * HIGH)
    seen = 0
    for height, width in np.exp(rng.uniform(0, 8, (2000, 2))).astype(int).tolist():
        if max(height, width) > 200 * min(height, width):
            continue
        seen += min(height, width) < 14
        expected = stock_resize(height, width, 28, pixels.min_pixels, pixels.max_pixels)
        assert smart_resize(height, width, pixels) == expected, (height, width)
    assert seen > 100


@pytest.mark.parametrize('count', [1, 4, 5, 12, 40])
def test_the_length_of_a_video(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame's size does not depend on how many frames there are, unless stock is told to cap."""
    tokens = 100
    pixels = dataclasses.replace(FAMILY, min_pixels=784, max_pixels=40 * 784)
    size = {'shortest_edge': pixels.min_pixels, 'longest_edge': pixels.max_pixels}
    stock = video_processor(monkeypatch, size=size, max_video_tokens=tokens)
    frames = [np.zeros((240, 320, 3), np.uint8)] * count

    def stock_grid(**settings: Any) -> Any:
        t, h, w = stock_video(stock, frames, **settings)[1]
        return t, h // 2, w // 2

    assert grid_of((240, 320), count, pixels) == stock_grid() == (-(-count // 2), 5, 7)
    # docs/models.md has the rule: so large is a frame's share.
    share = int(0.9 * tokens * 784) * 2 // count
    capped = min(pixels.max_pixels, max(share, int(1.05 * pixels.min_pixels)))
    bounded = pixels.bounded(0, capped)
    assert grid_of((240, 320), count, bounded) == stock_grid(cap_pixels_per_frame=True)
    assert (grid_of((240, 320), count, bounded) == stock_grid()) == (count <= 4)
