# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Images resized on the GPU beside PyTorch's resizing of bytes on the CPU, which is the stock one.

    python -m benchmark.exactness.pixels

Pictures with soft shapes, with hard edges and of greys, in sizes of cameras from 64 x 64 to 4K and
in random ones.  `differ` counts the values that are not equal.  `ms` is the time of an upload with
its resizing, `float ms` that of the same with PyTorch's resizing of floats, which was the way
before, and `resize ms` that of the kernels alone.

The command fails, after results are written, if a value differs, or if the uploads of all cameras
together take longer than with floats. A single one wanders by a tenth with the host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import dataclasses
import sys
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmark.common import card, harness
from benchmark.common.pictures import PICTURES
from benchmark.common.timing import quartiles, Timer
from streamvlm_ros.engine.models.preprocessing import ImageProcessorConfig, upload
from streamvlm_ros.engine.models.qwen2_5_vl.model import QWEN2_5_VL
from streamvlm_ros.engine.ops.kernels.resize import resize

Size = tuple[int, int]
# Height and width of a camera's image, and the largest number of pixels that a model sees.
CAMERAS: tuple[tuple[Size, int], ...] = (
    ((64, 64), 1 << 20),
    ((240, 320), 1 << 20),
    ((480, 640), 448 * 448),
    ((480, 640), 1 << 20),
    ((376, 672), 448 * 448),
    ((448, 333), 448 * 448),
    ((720, 1280), 1 << 20),
    ((1080, 1920), 448 * 448),
    ((1080, 1920), 1 << 20),
    ((1080, 1920), 1 << 24),
    ((1440, 2560), 1 << 20),
    ((2160, 3840), 448 * 448),
    ((2160, 3840), 1 << 24),
)
RANDOM = 200  # pairs of sizes
# Images keep their size.
AS_IT_IS = dataclasses.replace(
    QWEN2_5_VL.pixels, patch_size=1, merge_size=1, min_pixels=1, max_pixels=1 << 30
)


def in_floats(image: np.ndarray, size: Size, device: torch.device) -> torch.Tensor:
    """Return the pixel values of an image, brought to the device and resized there in floats."""
    pixels = upload(image, AS_IT_IS, device)[None]
    pixels = functional.interpolate(pixels, size, mode='bicubic', antialias=True)
    return pixels.round().clamp(0, 255)


def differing(image: np.ndarray, size: Size, device: torch.device) -> int:
    """Return how many values of a resized image are not those of the CPU."""
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
    expected = functional.interpolate(pixels, size, mode='bicubic', antialias=True)[0].float()
    got = resize(torch.from_numpy(image).to(device), size).cpu()
    return int((got != expected).sum())


def check(device: torch.device) -> Iterator[dict[str, Any]]:
    """Yield a row for every camera."""
    timed = Timer(str(device))

    def median(work: Callable[[], Any]) -> float:
        return quartiles(timed(work, times=50, warm=5))[1]

    for camera, most in CAMERAS:
        pixels = dataclasses.replace(QWEN2_5_VL.pixels, max_pixels=most)
        yield _row(camera, pixels, device, median)


def _row(
    camera: Size,
    pixels: ImageProcessorConfig,
    device: torch.device,
    median: Callable[[Callable[[], Any]], float],
) -> dict[str, Any]:
    size = pixels.resized(*camera)
    images = [picture(*camera) for picture in PICTURES.values()]
    copied = torch.from_numpy(images[0]).to(device)
    return {
        'camera': f'{camera[1]}x{camera[0]}',
        'model': f'{size[1]}x{size[0]}',
        'differ': sum(differing(image, size, device) for image in images),
        'ms': median(lambda: upload(images[0], pixels, device)),
        'float ms': median(lambda: in_floats(images[0], size, device)),
        'resize ms': median(lambda: resize(copied, size)),
    }


def check_random(device: torch.device) -> int:
    """Return how many values differ over random pairs of sizes, some with one side kept."""
    rng = np.random.default_rng(0)
    wrong = 0
    for index in range(RANDOM):
        height, width, rows, columns = rng.integers(1, 900, 4).tolist()
        # PyTorch's code for machines without vector instructions is wrong for a width of 1.
        size = (height if index % 5 == 1 else rows, width if index % 5 == 2 else columns + 1)
        image = rng.integers(0, 2, (height, width, 3), np.uint8) * 255
        wrong += differing(image, size, device)
    return wrong


def main(argv: list[str] | None = None) -> None:
    """Check and write ``results/exactness_pixels``; exit with 1 if something does not hold."""
    arguments = card.parser(__doc__ or '').parse_args(argv)
    device = torch.device(arguments.device)
    rows = list(check(device))
    differ = check_random(device)
    harness.write(
        'exactness_pixels',
        {**card.describe(arguments), 'rows': rows, 'random_differ': differ},
        rows,
        arguments.out,
    )
    if differ or any(row['differ'] for row in rows):
        sys.exit(f'Values differ: {differ} in random sizes; see the table for the others.')
    ours, floats = (sum(row[name] for row in rows) for name in ('ms', 'float ms'))
    if ours > floats:
        sys.exit(
            f'Uploads are slower than with floats: {ours:.2f} ms against {floats:.2f} together.'
        )


if __name__ == '__main__':
    main()
