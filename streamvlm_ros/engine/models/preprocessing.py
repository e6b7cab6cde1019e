# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Images resized by the model's own rule, and cut into patches on the device."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import functools
import math

import numpy as np
import torch
from torch.nn import functional

from streamvlm_ros.engine.ops.operations import has_triton
from streamvlm_ros.engine.positions import Grid


@dataclasses.dataclass(frozen=True)
class ImageProcessorConfig:
    """A model's preprocessing, as its preprocessor config has it."""

    patch_size: int
    temporal_patch_size: int
    merge_size: int
    min_pixels: int
    max_pixels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def factor(self) -> int:
        """Sides are multiples of this."""
        return self.patch_size * self.merge_size

    @property
    def most_tokens(self) -> int:
        """Tokens of the largest temporal patch."""
        return self.max_pixels // self.factor**2

    def of_frames(self) -> ImageProcessorConfig:
        """Return it with a frame's bounds; files of a family may bound whole videos instead."""
        return self

    def bounded(self, least: int, most: int) -> ImageProcessorConfig:
        """Return it with other bounds of height x width; 0 leaves the model's own.

        A largest size below the model's smallest one is the smallest too.
        """
        return dataclasses.replace(
            self,
            min_pixels=least or min(self.min_pixels, most or self.min_pixels),
            max_pixels=most or self.max_pixels,
        )

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width that the model sees; a family may have another rule."""
        return smart_resize(height, width, self)


def smart_resize(height: int, width: int, settings: ImageProcessorConfig) -> tuple[int, int]:
    """Return the height and width that the model sees.

    Both are multiples of ``factor``, their product is within the pixel bounds, and the aspect
    ratio is kept as well as that allows (the rule of Qwen's own vision processing).
    """
    factor = settings.factor
    # Sides of less than half a token become 0 here, and the image is enlarged.
    new_height = round(height / factor) * factor
    new_width = round(width / factor) * factor
    if new_height * new_width > settings.max_pixels:
        scale = math.sqrt(height * width / settings.max_pixels)
        new_height = max(factor, math.floor(height / scale / factor) * factor)
        new_width = max(factor, math.floor(width / scale / factor) * factor)
    elif new_height * new_width < settings.min_pixels:
        scale = math.sqrt(settings.min_pixels / (height * width))
        new_height = math.ceil(height * scale / factor) * factor
        new_width = math.ceil(width * scale / factor) * factor
    return new_height, new_width


def grid_of(size: tuple[int, int], frames: int, settings: ImageProcessorConfig) -> Grid:
    """Return the merged token grid of so many frames of this height and width."""
    height, width = settings.resized(*size)
    return Grid(
        -(-frames // settings.temporal_patch_size),
        height // settings.factor,
        width // settings.factor,
    )


def upload(
    image: np.ndarray, settings: ImageProcessorConfig, device: torch.device
) -> torch.Tensor:
    """Bring an RGB uint8 image [h, w, 3] to the device, and resize it as the stock processors do.

    On a GPU nothing waits: the copy runs beside what the device is doing, and the image is resized
    behind it, to the same bytes as on the CPU.  Without Triton it is resized on the CPU.

    Returns:
        Pixel values 0 to 255, float32 [3, height, width].

    """
    height, width = image.shape[:2]
    size = settings.resized(height, width)
    if size == (height, width):
        return _copy(image, device).permute(2, 0, 1).float()
    if device.type == 'cuda' and has_triton():
        from streamvlm_ros.engine.ops.kernels.resize import resize

        return resize(_copy(image, device), size)
    return _resize_bytes(image, size).to(device).float()


def _resize_bytes(image: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """Return an image resized on the CPU, uint8 [3, *size].

    This is what torchvision does in the stock processors: bytes in, bytes between the two passes,
    bytes out.  Resizing floats is not the same: at hard edges it is up to 5 levels off.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    return functional.interpolate(pixels, size, mode='bicubic', antialias=True)[0]


def to_patches(
    images: Sequence[np.ndarray], settings: ImageProcessorConfig, device: torch.device
) -> tuple[torch.Tensor, Grid]:
    """Resize RGB uint8 images [h, w, 3] of one size, and cut them; see ``patchify``."""
    return patchify(torch.stack([upload(image, settings, device) for image in images]), settings)


def patchify(
    pixel_values: torch.Tensor, settings: ImageProcessorConfig
) -> tuple[torch.Tensor, Grid]:
    """Normalise and cut an even number of frames.

    Args:
        pixel_values: 0 to 255, float32 [n, 3, height, width].
        settings: the model's preprocessing.

    Returns:
        Patches float32 [t * h * w * merge^2, 3 * temporal * patch^2] in the stock processor's
        order, and the merged grid.

    """
    count, _, height, width = pixel_values.shape
    mean, std = _normalisation(settings, pixel_values.device)
    pixels = (pixel_values - mean) / std
    temporal, merge, patch = settings.temporal_patch_size, settings.merge_size, settings.patch_size
    grid = Grid(count // temporal, height // settings.factor, width // settings.factor)
    pixels = pixels.view(grid.t, temporal, 3, grid.h, merge, patch, grid.w, merge, patch)
    pixels = pixels.permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
    return pixels.reshape(math.prod(grid) * merge * merge, -1), grid


@functools.cache
@torch.inference_mode(False)
def _normalisation(
    settings: ImageProcessorConfig,
    device: torch.device,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and standard deviation on the scale 0 to 255, [3, 1, 1] each."""
    mean, std = (
        torch.tensor(x, device=device).view(3, 1, 1) * 255 for x in (settings.mean, settings.std)
    )
    return mean, std


def _copy(image: np.ndarray, device: torch.device) -> torch.Tensor:
    if device.type != 'cuda':
        return torch.from_numpy(np.ascontiguousarray(image)).to(device)
    here = torch.cuda.current_stream(device)
    beside = _copy_stream(device)
    # Only memory that stays in its place can be copied without waiting.  NumPy fills it with one
    # thread; PyTorch would wake all of its own for it, which takes longer.
    pinned = torch.empty(image.shape, dtype=torch.uint8, pin_memory=True)
    np.copyto(pinned.numpy(), image)
    with torch.cuda.stream(beside):
        copied = pinned.to(device, non_blocking=True)
    here.wait_stream(beside)
    copied.record_stream(here)
    return copied


@functools.cache
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
