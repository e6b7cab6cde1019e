# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames: checked, resized by the model's own rule, and cut into patches on the device."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import functools
import math

import numpy as np
import torch
from torch.nn import functional

from streamvlm_ros.engine.config import StreamSettings
from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.positions import Grid, NANOSECONDS
from streamvlm_ros.engine.stream.stamps import seconds

MAX_ASPECT = 200
LAST_STAMP = 2**31 * NANOSECONDS - 1  # the seconds of a ROS time are an int32

Stamp = int | float


@dataclasses.dataclass(frozen=True)
class Frame:
    """One image of the stream.

    Attributes:
        image: RGB uint8 [h, w, 3].
        stamp_ns: its header stamp in nanoseconds.
        time_ns: its time in the video; the stamp, or from the uniform rate.
        frame_id: whose eye it was.
        number: counted from the stream's first.
        levels: the image on the device as ``upload`` returns it; None: not there yet.

    """

    image: np.ndarray
    stamp_ns: int
    time_ns: int
    frame_id: str = ''
    number: int = 0
    levels: torch.Tensor | None = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]


def to_nanoseconds(stamp: Stamp, *, clip: bool = False) -> int:
    """Return integer nanoseconds for integer nanoseconds or float seconds.

    Args:
        stamp: NumPy's numbers are taken too.
        clip: make the nearest time that a ROS stamp can have of what it cannot have.

    Raises:
        StreamError: INVALID_REQUEST for what is not a finite number, and without ``clip`` for a
            time below 0, or from 2**31 s on.

    """
    if isinstance(stamp, (float, np.floating)):
        nanoseconds = float(stamp) * NANOSECONDS
        if not math.isfinite(nanoseconds):
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'The stamp {stamp} is not a time; give a finite number.',
            )
        time_ns = round(nanoseconds)
    elif isinstance(stamp, (int, np.integer)) and not isinstance(stamp, bool):
        time_ns = int(stamp)
    else:
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            f'A stamp of type {type(stamp).__name__} is not a time; give integer '
            'nanoseconds or float seconds.',
        )
    if clip:
        return min(max(time_ns, 0), LAST_STAMP)
    if not 0 <= time_ns <= LAST_STAMP:
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            f'A stamp of {seconds(time_ns)} is not a time that ROS can tell: '
            'give one from 0 to 2**31 s (the year 2038).',
        )
    return time_ns


@dataclasses.dataclass(frozen=True)
class ImageProcessorConfig:
    """A model's preprocessing, as its preprocessor config has it."""

    patch_size: int = 14
    temporal_patch_size: int = 2
    merge_size: int = 2
    min_pixels: int = 56 * 56
    max_pixels: int = 28 * 28 * 1280
    mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)

    @property
    def factor(self) -> int:
        """Sides are multiples of this."""
        return self.patch_size * self.merge_size


def check_image(
    image: np.ndarray,
    max_pixels: int = StreamSettings.max_image_pixels,
) -> np.ndarray:
    """Return the image when it is one, of at most ``max_pixels`` = height x width.

    Raises:
        StreamError: INVALID_REQUEST, saying what is wrong with it.

    """
    try:
        array = np.asarray(image)
    except Exception as error:  # whatever the object's own conversion raises
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            f'A frame must be an RGB uint8 array [height, width, 3], not {type(image).__name__}.',
        ) from error
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            'A frame must be an RGB uint8 array [height, width, 3], not '
            f'{array.dtype} {list(array.shape)}.',
        )
    if not array.size:
        raise StreamError(ErrorCode.INVALID_REQUEST, 'The frame has no pixels.')
    height, width = array.shape[:2]
    if height * width > max_pixels:
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            f'The frame is {width}x{height}, {height * width} pixels; at most '
            f'{max_pixels} are taken (max_image_pixels).',
        )
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            f'The frame is {width}x{height}; one side may be at most '
            f'{MAX_ASPECT} times the other.',
        )
    return array


def check_frame_id(frame_id: str, max_length: int) -> None:
    """Refuse a frame_id that no message could carry, or that is too long to be kept.

    Raises:
        StreamError: INVALID_REQUEST.

    """
    if not isinstance(frame_id, str):
        raise StreamError(
            ErrorCode.INVALID_REQUEST, f'A frame_id must be a text, not {type(frame_id).__name__}.'
        )
    if len(frame_id) > max_length:
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            f'The frame_id has {len(frame_id)} characters; at most {max_length} '
            'are taken (max_frame_id).',
        )
    try:
        frame_id.encode()
    except UnicodeEncodeError as error:
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            f'The frame_id has half of a surrogate pair, which is not text: {frame_id!a}.',
        ) from error


def smart_resize(height: int, width: int, settings: ImageProcessorConfig) -> tuple[int, int]:
    """Return the height and width that the model sees.

    Both are multiples of ``factor``, their product is within the pixel bounds, and the aspect
    ratio is kept as well as that allows (the rule of Qwen's own vision processing).
    """
    factor = settings.factor
    new_height = max(factor, round(height / factor) * factor)
    new_width = max(factor, round(width / factor) * factor)
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
    height, width = smart_resize(*size, settings)
    return Grid(
        -(-frames // settings.temporal_patch_size),
        height // settings.factor,
        width // settings.factor,
    )


def upload(
    image: np.ndarray, settings: ImageProcessorConfig, device: torch.device
) -> torch.Tensor:
    """Bring an RGB uint8 image [h, w, 3] to the device, and resize it there.

    On a GPU nothing waits: the copy runs beside what the device is doing.

    Returns:
        Grey levels 0 to 255, float32 [3, height, width].

    """
    height, width = image.shape[:2]
    pixels = _copy(image, device).permute(2, 0, 1)[None].float()
    size = smart_resize(height, width, settings)
    if size != (height, width):
        pixels = functional.interpolate(pixels, size, mode='bicubic', antialias=True)
        # The stock processor resizes bytes to bytes.
        pixels = pixels.round().clamp(0, 255)
    return pixels[0]


def grey_levels(
    frames: Sequence[Frame], settings: ImageProcessorConfig, device: torch.device
) -> torch.Tensor:
    """Return frames of one size as ``upload`` does, float32 [n, 3, height, width]."""
    return torch.stack(
        [
            upload(frame.image, settings, device) if frame.levels is None else frame.levels
            for frame in frames
        ]
    )


def to_patches(
    images: Sequence[np.ndarray], settings: ImageProcessorConfig, device: torch.device
) -> tuple[torch.Tensor, Grid]:
    """Resize RGB uint8 images [h, w, 3] of one size, and cut them; see ``patchify``."""
    return patchify(torch.stack([upload(image, settings, device) for image in images]), settings)


def patchify(levels: torch.Tensor, settings: ImageProcessorConfig) -> tuple[torch.Tensor, Grid]:
    """Normalise and cut an even number of frames.

    Args:
        levels: grey levels, float32 [n, 3, height, width].
        settings: the model's preprocessing.

    Returns:
        Patches float32 [t * h * w * merge^2, 3 * temporal * patch^2] in the stock processor's
        order, and the merged grid.

    """
    count, _, height, width = levels.shape
    mean, std = _normalisation(settings, levels.device)
    pixels = (levels - mean) / std
    temporal, merge, patch = settings.temporal_patch_size, settings.merge_size, settings.patch_size
    grid = Grid(count // temporal, height // settings.factor, width // settings.factor)
    pixels = pixels.view(grid.t, temporal, 3, grid.h, merge, patch, grid.w, merge, patch)
    return pixels.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(grid.tokens * merge * merge, -1), grid


@functools.cache
@torch.inference_mode(False)
def _normalisation(
    settings: ImageProcessorConfig,
    device: torch.device,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and standard deviation in grey levels, [3, 1, 1] each."""
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
