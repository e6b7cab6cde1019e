# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Compressed camera messages to RGB frames.

`decode_compressed` takes JPEG and PNG. The first bytes of the data say what it is;
drivers fill `format` differently: 'jpeg', 'png', or as image_transport does it,
'<encoding>; jpeg compressed <encoding of what was compressed>'. From there comes only what the
data cannot say: that it is depth, that it is the mosaic of a raw sensor, that its red and blue are
exchanged.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from streamvlm_ros.nodes.images import jpeg, png
from streamvlm_ros.nodes.images.encodings import DEPTH, LAYOUTS, NO_PICTURE
from streamvlm_ros.nodes.images.images import (
    check_pixels,
    decode_without_cv_bridge,
    Frame,
    ImageError,
    MOST_PIXELS,
)
from streamvlm_ros.nodes.texts import MOST_QUOTED, quoted, sentence

# Each scan decodes the whole picture again, and may have a handful of bytes; a progressive
# JPEG has ten.
_MOST_SCANS = 64
_COMPRESSED = re.compile(r'(?:jpeg|png) compressed (\w*)')  # as image_transport writes it
_DAMAGED = 'the camera driver fills the message wrongly or it was changed on its way.'


class CompressedMessage(Protocol):
    """What `decode_compressed` reads of a sensor_msgs/CompressedImage, of rclpy or rosbags."""

    format: str
    data: Any


@dataclasses.dataclass
class _Raw:
    """The decompressed image with the fields of a sensor_msgs/Image."""

    height: int
    width: int
    encoding: str
    step: int
    data: Any
    is_bigendian: int = int(sys.byteorder == 'big')


def decode_compressed(
    msg: CompressedMessage, max_pixels: int = MOST_PIXELS, depth_range: float = 0.0
) -> Frame:
    """Turn one compressed image message into an RGB frame.

    Args:
        msg: a sensor_msgs/CompressedImage, of rclpy or of rosbags.
        max_pixels: most pixels of an image; what its header says is more is not decompressed.
        depth_range: as for `decode_image`.

    Returns:
        RGB uint8 [height, width, 3], contiguous, as the camera sees it: EXIF turns nothing.

    Raises:
        ImageError: the message holds no usable picture.
    """
    original, _, rest = msg.format.partition(';')
    original = original.strip()
    match = _COMPRESSED.search(rest)
    compressed = match[1] if match else ''
    data = bytes(msg.data)
    _check_format(msg.format, original, depth_range > 0.0 and data.startswith(png.SIGNATURE))
    if not data:
        raise ImageError('The compressed image is empty; check that the camera delivers pictures.')
    if data.startswith(jpeg.SIGNATURE):
        samples = _decode_jpeg(data, max_pixels)
    elif data.startswith(png.SIGNATURE):
        samples = _decode_png(data, max_pixels)
    else:
        raise ImageError(
            f'The compressed image ({quoted(msg.format, 60)}, {len(data)} bytes) is neither JPEG '
            'nor PNG; let the camera driver publish one of them, or raw images.'
        )
    encoding = _encoding(samples, original, compressed)
    height, width = samples.shape[:2]
    raw = _Raw(height, width, encoding, samples.strides[0], samples.view(np.uint8).reshape(-1))
    return decode_without_cv_bridge(raw, max_pixels, depth_range)


def _check_format(text: str, original: str, can_be_depth: bool) -> None:
    """Refuse what is depth by its format: as JPEG it would look like a dark picture."""
    if 'compressedDepth' in text:
        what = 'depth'
    elif original in NO_PICTURE:
        what = NO_PICTURE[original]
    elif original.startswith('32FC') or (original in DEPTH and not can_be_depth):
        what = DEPTH.get(original, 'depth')
    else:
        return
    raise ImageError(
        f'The format {quoted(text, 60)} holds {what}, not a picture; subscribe to the '
        'compressed colour topic of the camera.'
    )


def _decode_jpeg(data: bytes, max_pixels: int) -> npt.NDArray[Any]:
    """Return a JPEG's samples; bytes after its end are ignored.

    A few kilobytes can be a picture of gigabytes: its size is checked first, which costs
    microseconds.
    """
    found = jpeg.read_jpeg(data, _MOST_SCANS)
    check_pixels(found.height, found.width, max_pixels)
    if len(found.scans) > _MOST_SCANS:
        raise ImageError(
            f'The JPEG image has more than {_MOST_SCANS} scans, which are not decoded. Let the '
            'camera driver publish baseline JPEG.'
        )
    if found.end is None:
        raise ImageError(
            f'The JPEG image is cut off after {len(data)} bytes; the message was cut on its '
            'way or the camera driver fills it wrongly.'
        )
    data = data[: found.end]
    if jpeg.lost_restarts(data, found):
        raise _hole('restart markers are missing in its middle')
    # What has no size has no picture either, whatever a decoder finds in it.
    samples = _decompress(data if found.height and found.width else b'')
    if jpeg.was_filled(data, found, samples):
        raise _hole('its data ends before the picture does')
    return samples


def _hole(why: str) -> ImageError:
    return ImageError(f'A part of the JPEG image is missing ({why}); {_DAMAGED}')


def _decode_png(data: bytes, max_pixels: int) -> npt.NDArray[Any]:
    size = png.png_size(data)
    if size is not None:
        check_pixels(*size, max_pixels)
    found = png.look_at_png(data)
    if found is png.Whole.WRONG_CHECKSUM:
        raise ImageError(f'The PNG image is damaged: a checksum in it is wrong; {_DAMAGED}')
    if found is png.Whole.CUT_OFF:
        raise ImageError(
            f'The PNG image is cut off after {len(data)} bytes; the message was cut on its way or '
            'the camera driver fills it wrongly.'
        )
    return _decompress(data if size is not None else b'')


def _decompress(data: bytes) -> npt.NDArray[Any]:
    """Return the samples as OpenCV has them, [h, w] or [h, w, 3 or 4], colour as BGR."""
    samples: npt.NDArray[Any] | None = None
    try:
        if data:
            samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        why = sentence(error.err, MOST_QUOTED)
        raise ImageError(f'The compressed image cannot be decoded ({why}).') from error
    if samples is None:
        raise ImageError(f'The compressed image is damaged and cannot be decoded; {_DAMAGED}')
    return np.ascontiguousarray(samples)


def _encoding(samples: npt.NDArray[Any], original: str, compressed: str) -> str:
    """Return the encoding of the decompressed samples.

    Args:
        samples: [h, w] or [h, w, 3 or 4].
        original: the encoding of the image before its compression; '' if not given.
        compressed: the encoding that was compressed; '' if not given. A mosaic that the
            publisher has made grey before is 'mono8' here. 'rgb8': RGB was compressed as if it
            were BGR, as image_transport once did it.
    """
    bits = 8 * samples.dtype.itemsize
    if samples.ndim == 2:
        if compressed == f'mono{bits}' and original not in DEPTH:
            return compressed
        is_mosaic = original in LAYOUTS and original.startswith('bayer_')
        if is_mosaic and original.endswith(str(bits)):
            return original
        if bits == 16 and original in DEPTH:
            return original
        if bits == 16 and original != 'mono16':
            raise ImageError(
                'The PNG image has one channel of 16 bits, which is depth, not a picture; '
                'subscribe to the compressed colour topic of the camera.'
            )
        return f'mono{bits}'
    order = 'rgb' if compressed.startswith('rgb') else 'bgr'
    return f'{order}{"a" if samples.shape[2] == 4 else ""}{bits}'
