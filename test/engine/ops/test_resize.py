# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The kernel that resizes images, interpreted: equal to the last bit to PyTorch on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.kernels.interpreted import resize  # before anything that imports kernels
from support.whole import sampled
import torch
from torch.nn import functional

from benchmark.common.pictures import PICTURES

# Height and width of a camera's image, and of what a model sees of it.  Of the largest there are
# strips, as each pass works along one side; benchmark/exactness/pixels.py has them whole.
SIZES = [
    ((64, 64), (56, 56)),
    ((64, 64), (112, 140)),
    ((480, 640), (448, 448)),
    ((112, 333), (112, 336)),  # height as it is
    ((333, 112), (168, 112)),  # width as it is
    ((29, 30), (28, 28)),
    ((2, 300), (28, 1092)),
    ((720, 60), (420, 56)),
    ((60, 1920), (56, 1344)),
    ((1080, 60), (1092, 84)),
    ((64, 2560), (56, 28)),
    ((48, 3840), (56, 2688)),
    ((2160, 48), (1512, 56)),
]
# Every size with every picture, in an order in which neighbours have different ones.
CASES = [
    (*sizes, [*PICTURES][(shift + index) % len(PICTURES)])
    for shift in range(len(PICTURES))
    for index, sizes in enumerate(SIZES)
]


def on_the_cpu(image: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """Return what PyTorch makes of an image's bytes."""
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
    return functional.interpolate(pixels, size, mode='bicubic', antialias=True)[0]


@pytest.fixture(autouse=True)
def large_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interpreted programs run one after another: few large ones are quicker."""
    monkeypatch.setattr(resize, 'ROW_TILE', (256, 512))
    monkeypatch.setattr(resize, 'COLUMN_TILE', (128, 1024))


@pytest.mark.parametrize('size, out, picture', sampled(CASES, 7))
def test_equal_to_the_last_bit(size: Any, out: Any, picture: Any) -> None:
    """Larger and smaller, far and near, one side alone, and tiles that are not filled."""
    image = PICTURES[picture](*size)
    expected = on_the_cpu(image, out)
    got = resize.resize(torch.from_numpy(image), out)
    assert got.dtype == torch.float32 and got.shape == (3, *out)
    assert torch.equal(got, expected.float())


def test_bytes_differ_from_floats() -> None:
    """The pictures can tell: resizing floats and rounding them gives other pixels."""
    image = PICTURES['hard-edged'](480, 640)
    floats = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    rounded = functional.interpolate(floats, (448, 448), mode='bicubic', antialias=True)[0]
    rounded = rounded.round().clamp(0, 255)
    assert (on_the_cpu(image, (448, 448)) - rounded).abs().max() > 2


@pytest.mark.parametrize('seed', sampled(range(400), 40))
def test_weights_of_any_two_sizes(seed: int) -> None:
    """Lines of noise, of edges and of a ramp are resized to the same bytes in plain integers."""
    rng = np.random.default_rng(seed)
    size, out = int(rng.integers(1, 4200)), 28 * int(rng.integers(1, 80))
    lines = rng.integers(0, 256, (3, size, 3), np.uint8)
    lines[1] = rng.integers(0, 2, (size, 3)) * 255
    lines[2] = np.linspace(0, 255, size)[:, None]
    made = resize.filter_weights(size, out)
    level = np.full((3, out, 3), 1 << made.bits - 1)
    for tap, weight in enumerate(made.weights.numpy().astype(int)):
        pixel = np.minimum(made.first.numpy() + tap, size - 1)
        level += weight[None, :, None] * lines[:, pixel]
    expected = on_the_cpu(lines, (3, out)).permute(1, 2, 0).numpy()
    assert np.array_equal((level >> made.bits).clip(0, 255), expected)


def test_weights_are_made_once() -> None:
    """A camera's next image finds them; many sizes do not fill the memory."""
    image = torch.from_numpy(PICTURES['ramp'](40, 50))
    resize.resize(image, (28, 56))
    before = resize._weights_on.cache_info()
    resize.resize(image, (28, 56))
    after = resize._weights_on.cache_info()
    assert (after.misses, after.hits) == (before.misses, before.hits + 2)
    assert after.maxsize == resize.CACHED
