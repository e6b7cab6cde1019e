# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Camera messages to RGB frames.

`decode_image` turns a `sensor_msgs/Image` into a contiguous RGB uint8 array, whatever its
encoding, row padding and byte order. A message that cannot be turned into one raises `ImageError`,
and nothing else, ever: its text is one sentence that says what is wrong and what to do about it.

cv_bridge does the conversion if it is installed and passes its check (`cv_bridge_back_end.py`);
the decoder below does it elsewhere, and for what cv_bridge does not turn into colour. One table of
test vectors (test/support/nodes/image_vectors.py) holds both to the same pixels.
"""

from __future__ import annotations

import contextlib
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from streamvlm_ros.nodes.images.cv_bridge_back_end import bridge_for
from streamvlm_ros.nodes.images.encodings import DEPTH, Layout, LAYOUTS, NO_PICTURE
from streamvlm_ros.nodes.texts import MOST_QUOTED, quoted, sentence

Frame = npt.NDArray[np.uint8]
MOST_PIXELS = 1 << 26  # of an image, by default


class ImageError(ValueError):
    """An image message that holds no usable picture; `str(error)` is a sentence for the user."""


class ImageMessage(Protocol):
    """What `decode_image` reads of a sensor_msgs/Image, from rclpy or from rosbags."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any


def decode_image(
    msg: ImageMessage, max_pixels: int = MOST_PIXELS, depth_range: float = 0.0
) -> Frame:
    """Turn one image message into an RGB frame.

    Args:
        msg: a sensor_msgs/Image, of rclpy or of rosbags.
        max_pixels: most pixels (height x width) of an image; a larger one is not looked at.
        depth_range: metres that a depth image is grey over, white at the camera, and black from
            there on and where no depth was measured; 0: depth is refused.

    Returns:
        RGB uint8 [height, width, 3], contiguous, not sharing memory with the message.

    Raises:
        ImageError: the message holds no usable picture.
    """
    layout = _check_header(msg, max_pixels, depth_range)
    bridge = bridge_for(msg.encoding, decode_without_cv_bridge) if layout.cv_bridge else None
    samples = _samples(msg, layout)  # checks the bounds before C++ code reads the buffer
    if bridge is not None:
        # What cv_bridge refuses, the decoder below converts, or refuses with our sentence.
        with contextlib.suppress(Exception):
            return np.array(bridge.imgmsg_to_cv2(msg, 'rgb8'), order='C')
    return _decode(msg, layout, samples, depth_range)


def decode_without_cv_bridge(
    msg: ImageMessage, max_pixels: int = MOST_PIXELS, depth_range: float = 0.0
) -> Frame:
    """Do what `decode_image` does with this module's own decoder only."""
    layout = _check_header(msg, max_pixels, depth_range)
    return _decode(msg, layout, _samples(msg, layout), depth_range)


def _decode(
    msg: ImageMessage, layout: Layout, samples: npt.NDArray[Any], depth_range: float
) -> Frame:
    """Turn the samples of a message that was checked into an RGB frame."""
    if msg.encoding in DEPTH:
        pixels = _depth_to_grey(samples, depth_range)
    else:
        pixels = _to_uint8(samples, msg.encoding)
    if layout.code is None:
        return np.array(pixels)
    if msg.encoding == 'nv24':
        pixels = _nv24_as_yuyv(pixels)
    try:
        rgb = cv2.cvtColor(np.ascontiguousarray(pixels), layout.code)
    except cv2.error as error:
        raise ImageError(
            f'OpenCV cannot convert a {msg.width}x{msg.height} {msg.encoding} image '
            f'({sentence(error.err, MOST_QUOTED)}); let the camera driver publish rgb8 or bgr8.'
        ) from error
    if msg.encoding == 'nv24':
        rgb = rgb[:, ::2]
    return np.ascontiguousarray(rgb, dtype=np.uint8)


def _nv24_as_yuyv(pixels: Frame) -> Frame:
    """Give every pixel of nv24 the four samples of two yuyv pixels, of which one is kept.

    OpenCV knows no nv24; this way it has the same formula as the other YUV encodings.

    Args:
        pixels: uint8 [3 height, width], the view that `_samples` returns.

    Returns:
        uint8 [height, 2 width, 2].
    """
    height, width = pixels.shape[0] // 3, pixels.shape[1]
    step = pixels.strides[0]
    # A row of colour is 2 width bytes long and 2 steps from the next; as no row is longer than its
    # step, it ends within the rows of the view, whose bounds were checked.
    colour = np.lib.stride_tricks.as_strided(
        pixels[height:], (height, width, 2), (2 * step, 2, 1), writeable=False
    )
    yuyv = np.empty((height, width, 4), np.uint8)
    yuyv[..., 0] = yuyv[..., 2] = pixels[:height]
    yuyv[..., 1::2] = colour
    return yuyv.reshape(height, 2 * width, 2)


def check_pixels(height: int, width: int, most: int) -> None:
    """Refuse an image that is too large, by what its header says.

    Raises:
        ImageError: it has more pixels than `most`.
    """
    if height * width > most:
        raise ImageError(
            f'The image has {width}x{height} pixels, {height * width} in all; at most {most} are '
            'taken (max_image_pixels). Let the camera driver publish smaller ones.'
        )


def _check_header(msg: ImageMessage, max_pixels: int, depth_range: float) -> Layout:
    """Return the layout of a message whose size suits its encoding."""
    if msg.encoding in NO_PICTURE:
        raise ImageError(
            f"The encoding '{msg.encoding}' holds {NO_PICTURE[msg.encoding]}, not a picture; "
            'subscribe to the colour topic of the camera.'
        )
    if msg.encoding in DEPTH and not depth_range > 0.0:
        raise ImageError(
            f"The encoding '{msg.encoding}' holds {DEPTH[msg.encoding]}, not a picture; subscribe "
            'to the colour topic of the camera, or set depth_range to see depth as grey.'
        )
    layout = LAYOUTS.get(msg.encoding)
    if layout is None:
        raise ImageError(
            f'The encoding {quoted(msg.encoding, 40)} is unknown; let the camera driver publish '
            'rgb8, bgr8, mono8 or another one of docs/cameras.md.'
        )
    if msg.height <= 0 or msg.width <= 0:
        raise ImageError(
            f'The image is empty ({msg.width}x{msg.height} pixels); check that the camera '
            'delivers pictures.'
        )
    check_pixels(int(msg.height), int(msg.width), max_pixels)
    if min(msg.height, msg.width) < layout.least:
        raise ImageError(
            f'The image is too small ({msg.width}x{msg.height} pixels); '
            f'{msg.encoding} needs at least {layout.least}x{layout.least}.'
        )
    if layout.even and (msg.width % 2 or (layout.chroma_rows and msg.height % 2)):
        raise ImageError(
            f'The image is {msg.width}x{msg.height} pixels, but {msg.encoding} shares colour '
            'between neighbours and needs even sizes; choose another size in the camera driver.'
        )
    return layout


def _samples(msg: ImageMessage, layout: Layout) -> npt.NDArray[Any]:
    """View the samples as [rows, width] or [rows, width, channels], without the row padding."""
    dtype = np.dtype(layout.dtype).newbyteorder('>' if msg.is_bigendian else '<')
    pixel_bytes = dtype.itemsize * layout.channels
    row_bytes = msg.width * pixel_bytes
    rows = msg.height + int(msg.height * layout.chroma_rows)
    if msg.step < row_bytes:
        raise ImageError(
            f'The step of {msg.step} bytes is shorter than a row of {msg.width} '
            f'{msg.encoding} pixels ({row_bytes} bytes); the camera driver fills the message '
            'wrongly.'
        )
    # NumPy refuses a buffer of no bytes.
    data = np.frombuffer(msg.data, dtype=np.uint8) if len(msg.data) else np.empty(0, np.uint8)
    # The padding of the last row may be missing: no pixel lies in it.
    needed = (rows - 1) * msg.step + row_bytes
    if data.nbytes < needed:
        raise ImageError(
            f'The image is truncated: {data.nbytes} bytes came, {needed} are needed for '
            f'{msg.width}x{msg.height} {msg.encoding}; the message was cut on its way or the '
            'camera driver fills it wrongly.'
        )
    if layout.channels == 1:
        shape, strides = (rows, msg.width), (msg.step, dtype.itemsize)
        return np.ndarray(shape, dtype, data, strides=strides)
    return np.ndarray(
        (rows, msg.width, layout.channels),
        dtype,
        data,
        strides=(msg.step, pixel_bytes, dtype.itemsize),
    )


def _depth_to_grey(samples: npt.NDArray[Any], depth_range: float) -> Frame:
    """Return depth in millimetres (integers) or metres (floats) as grey: the nearer, the whiter.

    0, a negative number, NaN and infinity all say that nothing was measured (REP 118): black.
    """
    metres = samples.astype(np.float32)
    if samples.dtype.kind == 'u':
        metres *= np.float32(0.001)
    metres[~(metres > 0.0)] = np.inf
    return np.rint(255.0 * np.clip(1.0 - metres / depth_range, 0.0, 1.0)).astype(np.uint8)


def _to_uint8(samples: npt.NDArray[Any], encoding: str) -> Frame:
    """Bring samples of any type to 0..255, the way cv_bridge scales them."""
    if samples.dtype.kind == 'f':
        if not np.isfinite(samples).all():
            raise ImageError(
                f'The {encoding} image has NaN or infinite values; publish a picture with '
                'values from 0 to 1.'
            )
        low, high = float(samples.min()), float(samples.max())
        if low < 0.0 or high > 1.0:
            raise ImageError(
                f'The {encoding} image has values from {low:.6g} to {high:.6g}, a picture has '
                '0 to 1; if this is depth, subscribe to the colour topic of the camera.'
            )
        return np.rint(samples * 255.0).astype(np.uint8)
    if samples.dtype.itemsize == 2:
        # round(x * 255 / 65535) in integers: 65535 / 255 is 257, so no value lies half-way.
        return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return samples
