# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames: an image each with its stamp; they are checked, kept for views, and uploaded."""

from __future__ import annotations

import collections
from collections.abc import Sequence
import dataclasses
from typing import Protocol

import numpy as np
import torch

from streamvlm_ros.engine.config import StreamSettings
from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.models.preprocessing import ImageProcessorConfig, upload
from streamvlm_ros.view import thinned

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


class FrameSource(Protocol):
    """Where a view gets frames as they came: the newest ones in memory, or a store on disk.

    It is asked by the model's thread, so it must be quick.

    Attributes:
        oldest_stamp_ns: stamp of the oldest frame that it has; None: it has none.
        has_lost: frames of this epoch that were older are gone.

    """

    @property
    def oldest_stamp_ns(self) -> int | None:
        """See the class."""

    @property
    def has_lost(self) -> bool:
        """See the class."""

    def frames(self, since_ns: int, until_ns: int, count: int) -> list[tuple[int, np.ndarray]]:
        """Return frames of a span, in their order; ``thinned`` says which.

        Args:
            since_ns: stamp that none is older than; 0: from the oldest on.
            until_ns: stamp that none is newer than; 0: up to the newest.
            count: how many at most.

        Returns:
            Stamp and RGB uint8 [h, w, 3] of each.

        """


class RecentFrames:
    """The newest frames as they came, so many as fit into some bytes; a ``FrameSource``."""

    def __init__(self, most_bytes: int) -> None:
        """Keep at most ``most_bytes`` of images; 0 keeps none."""
        self._most_bytes = most_bytes
        self._kept: collections.deque[Frame] = collections.deque()
        self._bytes = 0

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()
        self._bytes = 0

    def add(self, frame: Frame) -> None:
        """Keep a copy of a frame that the stream has taken, and drop the oldest ones for it."""
        if not self._most_bytes:
            return
        # The caller may write into the array again, or it may be part of a much larger one.
        image = frame.image.copy()
        kept = dataclasses.replace(frame, image=image, pixel_values=None)
        self._kept.append(kept)
        self._bytes += image.nbytes
        while self._bytes > self._most_bytes:
            self._bytes -= self._kept.popleft().image.nbytes

    def go_back(self, newest: Sequence[Frame]) -> None:
        """Forget what came after the frame that ``newest`` has returned."""
        while self._kept and [self._kept[-1]] != newest:
            self._bytes -= self._kept.pop().image.nbytes

    @property
    def oldest_stamp_ns(self) -> int | None:
        """See ``FrameSource``."""
        return self._kept[0].stamp_ns if self._kept else None

    @property
    def has_lost(self) -> bool:
        """See ``FrameSource``."""
        return not self._kept or self._kept[0].number > 0

    def newest(self, count: int = 1) -> list[Frame]:
        """Return the newest frames, at most ``count``, in their order."""
        return list(self._kept)[-count:]

    def frames(self, since_ns: int, until_ns: int, count: int) -> list[tuple[int, np.ndarray]]:
        """See ``FrameSource``."""
        return [(frame.stamp_ns, frame.image) for frame in self.span(since_ns, until_ns, count)]

    def span(self, since_ns: int, until_ns: int, count: int) -> list[Frame]:
        """Return frames of a span with their times; otherwise as ``frames``."""
        there = [
            frame
            for frame in self._kept
            if since_ns <= frame.stamp_ns <= (until_ns or frame.stamp_ns)
        ]
        return [there[index] for index in thinned(len(there), count)]


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
