# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames: an image each with its stamp; they are checked, and brought to the device."""

from __future__ import annotations

import collections
from collections.abc import Sequence
import dataclasses

import numpy as np
import torch

from streamvlm_ros.engine.config import StreamSettings
from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.models.preprocessing import ImageProcessorConfig, upload

MAX_ASPECT = 200  # the longer side of an image over its shorter one


@dataclasses.dataclass(eq=False)
class Frame:
    """An image on its way from the camera to the cache: one object from the queue on.

    Attributes:
        image: RGB uint8 [h, w, 3].
        stamp_ns: its header stamp in nanoseconds.
        time_ns: its time in the video: the stamp, or from the uniform rate; given when the stream
            takes the frame.
        frame_id: of the camera, from the message's header.
        number: counted from the stream's first frame; given when the stream takes the frame.
        arrived: when it came, on ``time.perf_counter``.
        series: number of the run of stamps that it belongs to; when stamps go back, the next one
            begins.
        pixel_values: the image on the device as ``upload`` returns it; None: not there yet.

    """

    image: np.ndarray
    stamp_ns: int
    time_ns: int = 0
    frame_id: str = ''
    number: int = 0
    arrived: float = 0.0
    series: int = 0
    pixel_values: torch.Tensor | None = dataclasses.field(default=None, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]

    def pairs_with(self, other: Frame) -> bool:
        """Tell whether this frame and the next one form a temporal patch."""
        return self.image.shape == other.image.shape and self.series == other.series


def drop_patch(frames: collections.deque[Frame], start: int) -> int:
    """Remove the first temporal patch from frame ``start`` on; the last frame always stays.

    Returns:
        How many frames it had: 1 if it was not whole; 0: nothing was removed, as too few follow.

    """
    end = start + 1
    if end < len(frames) and frames[start].pairs_with(frames[end]):
        end += 1
    if end >= len(frames):
        return 0
    frames.rotate(-start)
    for _ in range(end - start):
        frames.popleft()
    frames.rotate(start)
    return end - start


def check_image(
    image: np.ndarray,
    max_pixels: int = StreamSettings.max_image_pixels,
) -> np.ndarray:
    """Return the image if it is one, of at most ``max_pixels`` = height x width.

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


def upload_frame(
    frame: Frame, settings: ImageProcessorConfig, device: torch.device
) -> torch.Tensor:
    """Return a frame's pixel values as ``upload`` does; they stay with the frame."""
    if frame.pixel_values is None:
        frame.pixel_values = upload(frame.image, settings, device)
    return frame.pixel_values


def pixel_values(
    frames: Sequence[Frame], settings: ImageProcessorConfig, device: torch.device
) -> torch.Tensor:
    """Return the pixel values of frames of one size, float32 [n, 3, height, width]."""
    return torch.stack([upload_frame(frame, settings, device) for frame in frames])
