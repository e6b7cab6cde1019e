# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Camera messages to RGB frames.

`decode_image` turns a `sensor_msgs/Image` into a contiguous RGB uint8 array, whatever its
encoding, row padding and byte order. A message that cannot be turned into one raises `ImageError`,
and nothing else, ever: its text is one sentence that says what is wrong and what to do about it.

cv_bridge does the conversion where it is installed and passes a self-check; the decoder below does
it elsewhere. One table of test vectors (test/nodes/image_vectors.py) holds both to the same
pixels.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from streamvlm_ros.nodes.images.encodings import Layout, LAYOUTS, NO_PICTURE
from streamvlm_ros.nodes.texts import MOST_QUOTED, quoted, sentence

Frame = npt.NDArray[np.uint8]
MOST_PIXELS = 1 << 26  # of an image, where nothing else is said


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


def decode_image(msg: ImageMessage, max_pixels: int = MOST_PIXELS) -> Frame:
    """Turn one image message into an RGB frame.

    Args:
        msg: a sensor_msgs/Image, of rclpy or of rosbags.
        max_pixels: most pixels (height x width) of an image; a larger one is not looked at.

    Returns:
        RGB uint8 [height, width, 3], contiguous, not sharing memory with the message.

    Raises:
        ImageError: the message holds no usable picture.
    """
    layout = _check_header(msg, max_pixels)
    bridge = _working_cv_bridge() if layout.cv_bridge else None
    _samples(msg, layout)  # bounds are checked here, before anybody's C++ reads the buffer
    if bridge is not None:
        # What cv_bridge refuses in its own words, the decoder below does or refuses in ours.
        with contextlib.suppress(Exception):
            return np.ascontiguousarray(bridge.imgmsg_to_cv2(msg, 'rgb8'))
    return decode_without_cv_bridge(msg, max_pixels)


def decode_without_cv_bridge(msg: ImageMessage, max_pixels: int = MOST_PIXELS) -> Frame:
    """Do what `decode_image` does with this module's own decoder only."""
    layout = _check_header(msg, max_pixels)
    pixels = _to_uint8(_samples(msg, layout), msg.encoding)
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


def _check_header(msg: ImageMessage, max_pixels: int) -> Layout:
    """Return the layout of a message whose size suits its encoding."""
    if msg.encoding in NO_PICTURE:
        raise ImageError(
            f"The encoding '{msg.encoding}' holds {NO_PICTURE[msg.encoding]}, not a picture; "
            'subscribe to the colour topic of the camera.'
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


@functools.cache
def _working_cv_bridge() -> Any | None:
    """Return a CvBridge that reads colour, row padding and byte order rightly, or None.

    PyPI's build fails on colour images with OpenCV 5 and misreads padded rows, and one from a
    distribution can meet a NumPy that it was not built for: importing is no proof, so two small
    images are converted before it is trusted.
    """
    try:
        from cv_bridge import CvBridge
        from sensor_msgs.msg import Image

        bridge = CvBridge()
        colour = Image(height=2, width=2, encoding='bgr8', step=8, data=bytes(range(16)))
        deep = Image(
            height=1, width=2, encoding='mono16', step=4, is_bigendian=1, data=b'\xff\xff\x01\x00'
        )
        works = all(
            np.array_equal(bridge.imgmsg_to_cv2(msg, 'rgb8'), decode_without_cv_bridge(msg))
            for msg in (colour, deep)
        )
    except Exception:  # whatever a broken build raises, the own decoder is there
        return None
    return bridge if works else None
