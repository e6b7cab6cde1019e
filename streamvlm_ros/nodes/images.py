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
import dataclasses
import functools
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]


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


@dataclasses.dataclass(frozen=True)
class _Layout:
    """How the samples of one encoding lie in memory and how they become RGB."""

    dtype: str  # numpy's, without byte order
    channels: int  # samples per pixel in a row
    code: int | None = None  # a cv2.cvtColor code; None: the samples are RGB already
    planar: bool = False  # 4:2:0, with a plane of colour of half the height behind the brightness
    even: bool = False  # neighbours share colour samples: width (and height, if planar) is even
    least: int = 1  # smallest width and height that can be converted
    cv_bridge: bool = False  # cv_bridge converts this encoding to rgb8 too


# cv2 names a Bayer pattern by its second row, ROS by its first: hence rggb and BG.
_BAYER = {
    'rggb': cv2.COLOR_BayerBG2RGB,
    'bggr': cv2.COLOR_BayerRG2RGB,
    'gbrg': cv2.COLOR_BayerGR2RGB,
    'grbg': cv2.COLOR_BayerGB2RGB,
}
_BGR, _RGBA, _BGRA, _GRAY = (
    cv2.COLOR_BGR2RGB,
    cv2.COLOR_RGBA2RGB,
    cv2.COLOR_BGRA2RGB,
    cv2.COLOR_GRAY2RGB,
)
_UYVY, _YUYV = cv2.COLOR_YUV2RGB_UYVY, cv2.COLOR_YUV2RGB_YUY2

_LAYOUTS: dict[str, _Layout] = {
    'rgb8': _Layout('u1', 3, cv_bridge=True),
    'bgr8': _Layout('u1', 3, _BGR, cv_bridge=True),
    'rgba8': _Layout('u1', 4, _RGBA, cv_bridge=True),
    'bgra8': _Layout('u1', 4, _BGRA, cv_bridge=True),
    'rgb16': _Layout('u2', 3, cv_bridge=True),
    'bgr16': _Layout('u2', 3, _BGR, cv_bridge=True),
    'rgba16': _Layout('u2', 4, _RGBA, cv_bridge=True),
    'bgra16': _Layout('u2', 4, _BGRA, cv_bridge=True),
    'mono8': _Layout('u1', 1, _GRAY, cv_bridge=True),
    'mono16': _Layout('u2', 1, _GRAY, cv_bridge=True),
    # Unnamed channels: OpenCV's order, which is what every driver that writes these means.
    '8UC1': _Layout('u1', 1, _GRAY),
    '8UC3': _Layout('u1', 3, _BGR),
    '8UC4': _Layout('u1', 4, _BGRA),
    '32FC1': _Layout('f4', 1, _GRAY),
    '32FC3': _Layout('f4', 3, _BGR),
    'uyvy': _Layout('u1', 2, _UYVY, even=True),
    'yuv422': _Layout('u1', 2, _UYVY, even=True, cv_bridge=True),
    'yuyv': _Layout('u1', 2, _YUYV, even=True),
    'yuv422_yuy2': _Layout('u1', 2, _YUYV, even=True, cv_bridge=True),
    'nv12': _Layout('u1', 1, cv2.COLOR_YUV2RGB_NV12, planar=True, even=True),
    'nv21': _Layout('u1', 1, cv2.COLOR_YUV2RGB_NV21, planar=True, even=True),
}
for _pattern, _code in _BAYER.items():
    _LAYOUTS[f'bayer_{_pattern}8'] = _Layout('u1', 1, _code, least=3, cv_bridge=True)
    _LAYOUTS[f'bayer_{_pattern}16'] = _Layout('u2', 1, _code, least=3, cv_bridge=True)

ENCODINGS = tuple(_LAYOUTS)
"""Every encoding that `decode_image` understands."""

_NO_PICTURE = {
    '16UC1': 'depth in millimetres',
    '16SC1': 'disparity or depth',
    '64FC1': 'depth or disparity',
}


def decode_image(msg: ImageMessage) -> Frame:
    """Turn one image message into an RGB frame.

    Args:
        msg: a sensor_msgs/Image, of rclpy or of rosbags.

    Returns:
        RGB uint8 [height, width, 3], contiguous, not sharing memory with the message.

    Raises:
        ImageError: the message holds no usable picture.
    """
    layout = _check_header(msg)
    bridge = _working_cv_bridge() if layout.cv_bridge else None
    _samples(msg, layout)  # bounds are checked here, before anybody's C++ reads the buffer
    if bridge is not None:
        # What cv_bridge refuses in its own words, the decoder below does or refuses in ours.
        with contextlib.suppress(Exception):
            return np.ascontiguousarray(bridge.imgmsg_to_cv2(msg, 'rgb8'))
    return decode_without_cv_bridge(msg)


def decode_without_cv_bridge(msg: ImageMessage) -> Frame:
    """Do what `decode_image` does with this module's own decoder only."""
    layout = _check_header(msg)
    pixels = _to_uint8(_samples(msg, layout), msg.encoding)
    if layout.code is None:
        return np.array(pixels)
    try:
        rgb = cv2.cvtColor(np.ascontiguousarray(pixels), layout.code)
    except cv2.error as error:
        raise ImageError(
            f'OpenCV cannot convert a {msg.width}x{msg.height} {msg.encoding} image '
            f'({error.err}); '
            'let the camera driver publish rgb8 or bgr8.'
        ) from error
    return np.ascontiguousarray(rgb, dtype=np.uint8)


def _check_header(msg: ImageMessage) -> _Layout:
    """Return the layout of a message whose size suits its encoding."""
    if msg.encoding in _NO_PICTURE:
        raise ImageError(
            f"The encoding '{msg.encoding}' holds {_NO_PICTURE[msg.encoding]}, not a picture; "
            'subscribe to the colour topic of the camera.'
        )
    layout = _LAYOUTS.get(msg.encoding)
    if layout is None:
        raise ImageError(
            f'The encoding {msg.encoding[:40]!r} is unknown; let the camera driver publish '
            'rgb8, bgr8, mono8 '
            'or another one of docs/cameras.md.'
        )
    if msg.height <= 0 or msg.width <= 0:
        raise ImageError(
            f'The image is empty ({msg.width}x{msg.height} pixels); check that the camera '
            'delivers pictures.'
        )
    if min(msg.height, msg.width) < layout.least:
        raise ImageError(
            f'The image is too small ({msg.width}x{msg.height} pixels); '
            f'{msg.encoding} needs at least {layout.least}x{layout.least}.'
        )
    if layout.even and (msg.width % 2 or (layout.planar and msg.height % 2)):
        raise ImageError(
            f'The image is {msg.width}x{msg.height} pixels, but {msg.encoding} shares colour '
            'between '
            'neighbours and needs even sizes; choose another size in the camera driver.'
        )
    return layout


def _samples(msg: ImageMessage, layout: _Layout) -> npt.NDArray[Any]:
    """View the samples as [rows, width] or [rows, width, channels], without the row padding."""
    dtype = np.dtype(layout.dtype).newbyteorder('>' if msg.is_bigendian else '<')
    pixel_bytes = dtype.itemsize * layout.channels
    row_bytes = msg.width * pixel_bytes
    rows = msg.height * 3 // 2 if layout.planar else msg.height
    if msg.step < row_bytes:
        raise ImageError(
            f'The step of {msg.step} bytes is shorter than a row of {msg.width} '
            f'{msg.encoding} pixels '
            f'({row_bytes} bytes); the camera driver fills the message wrongly.'
        )
    # NumPy refuses a buffer of no bytes.
    data = np.frombuffer(msg.data, dtype=np.uint8) if len(msg.data) else np.empty(0, np.uint8)
    # The padding of the last row may be missing: no pixel lies in it.
    needed = (rows - 1) * msg.step + row_bytes
    if data.nbytes < needed:
        raise ImageError(
            f'The image is truncated: {data.nbytes} bytes came, {needed} are needed for '
            f'{msg.width}x{msg.height} '
            f'{msg.encoding}; the message was cut on its way or the camera driver fills it '
            'wrongly.'
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
                '0 to 1; '
                'if this is depth, subscribe to the colour topic of the camera.'
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
