# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Compressed camera messages to RGB frames.

`decode_compressed` takes JPEG and PNG. What the data is, it says itself in its first bytes;
drivers fill `format` differently: 'jpeg', 'png', or as image_transport does it,
'<encoding>; jpeg compressed <encoding of what was compressed>'. From there comes only what the
data cannot say: that it is depth, that it is the mosaic of a raw sensor, that its red and blue are
exchanged.
"""

from __future__ import annotations

import dataclasses
import struct
import sys
from typing import Any, Protocol
import zlib

import cv2
import numpy as np
import numpy.typing as npt

from streamvlm_ros.nodes.images.encodings import LAYOUTS, NO_PICTURE
from streamvlm_ros.nodes.images.images import (
    check_pixels,
    decode_without_cv_bridge,
    Frame,
    ImageError,
    MOST_PIXELS,
)
from streamvlm_ros.nodes.images.picture_size import jpeg_size, png_size
from streamvlm_ros.nodes.texts import MOST_QUOTED, quoted, sentence

_JPEG = b'\xff\xd8\xff'
_JPEG_END = b'\xff\xd9'
_PNG = b'\x89PNG\r\n\x1a\n'
_SCAN = b'\xff\xda'
# Each scan goes through the whole picture again, and may have a handful of bytes; a progressive
# JPEG has ten. Those of a thumbnail count too.
_MOST_SCANS = 64
_PADDING = 4096  # bytes that drivers with buffers of whole pages leave behind the end of a JPEG


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


def decode_compressed(msg: CompressedMessage, max_pixels: int = MOST_PIXELS) -> Frame:
    """Turn one compressed image message into an RGB frame.

    Args:
        msg: a sensor_msgs/CompressedImage, of rclpy or of rosbags.
        max_pixels: most pixels of an image; what its header says is more is not decompressed.

    Returns:
        RGB uint8 [height, width, 3], contiguous, as the camera sees it: EXIF turns nothing.

    Raises:
        ImageError: the message holds no usable picture.
    """
    original, _, compressed = msg.format.partition(';')
    original = original.strip()
    _check_format(msg.format, original)
    data = bytes(msg.data)
    size = _size(data)
    if size is not None:
        check_pixels(*size, max_pixels)
    _check_complete(data, msg.format)
    # What has no size has no picture either, whatever a decoder finds in it.
    samples = _decompress(data) if size is not None else None
    if samples is None:
        raise ImageError(
            'The compressed image is damaged and cannot be decoded; the camera driver fills the '
            'message wrongly or it was changed on its way.'
        )
    encoding = _encoding(samples, original, 'compressed rgb' in compressed)
    height, width = samples.shape[:2]
    raw = _Raw(height, width, encoding, samples.strides[0], samples.view(np.uint8).reshape(-1))
    return decode_without_cv_bridge(raw, max_pixels)


def _check_format(text: str, original: str) -> None:
    """Refuse what is depth by its format: as JPEG it would look like a dark picture."""
    if 'compressedDepth' in text:
        raise ImageError(
            f'The format {quoted(text, 60)} holds depth, not a picture; subscribe to the '
            'compressed colour topic of the camera.'
        )
    if original in NO_PICTURE or original.startswith('32FC'):
        what = NO_PICTURE.get(original, 'depth')
        raise ImageError(
            f'The format {quoted(text, 60)} holds {what}, not a picture; subscribe to the '
            'compressed colour topic of the camera.'
        )


def _size(data: bytes) -> tuple[int, int] | None:
    """Return height and width by the header, which costs microseconds; None: there is none.

    A few kilobytes of zeros can be a picture of gigabytes.
    """
    if data.startswith(_JPEG):
        return jpeg_size(data)
    return png_size(data) if data.startswith(_PNG) else None


def _check_complete(data: bytes, text: str) -> None:
    """Refuse data that is no JPEG or PNG, or only the beginning of one.

    Not every OpenCV does: some fill what is missing with grey and say nothing.
    """
    if not data:
        raise ImageError('The compressed image is empty; check that the camera delivers pictures.')
    if data.startswith(_JPEG):
        if _JPEG_END not in data[-_PADDING:]:
            raise ImageError(
                f'The JPEG image is cut off after {len(data)} bytes; the message was cut on its '
                'way or the camera driver fills it wrongly.'
            )
        scans = data.count(_SCAN)
        if scans > _MOST_SCANS:
            raise ImageError(
                f'The JPEG image has {scans} scans; at most {_MOST_SCANS} are decoded. Let the '
                'camera driver publish baseline JPEG.'
            )
    elif data.startswith(_PNG):
        _check_png(data)
    else:
        raise ImageError(
            f'The compressed image ({quoted(text, 60)}, {len(data)} bytes) is neither JPEG nor '
            'PNG; let the camera driver publish one of them, or raw images.'
        )


def _check_png(data: bytes) -> None:
    """Check that every chunk up to the last is there and has its checksum (PNG, section 5.3)."""
    position = len(_PNG)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from('>I4s', data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            break
        checksum = struct.unpack_from('>I', data, end)[0]
        if zlib.crc32(memoryview(data)[position + 4 : end]) != checksum:
            raise ImageError(
                'The PNG image is damaged: a checksum in it is wrong; the camera driver fills the '
                'message wrongly or it was changed on its way.'
            )
        if kind == b'IEND':
            return
        position = end + 4
    raise ImageError(
        f'The PNG image is cut off after {len(data)} bytes; the message was cut on its way or the '
        'camera driver fills it wrongly.'
    )


def _decompress(data: bytes) -> npt.NDArray[Any] | None:
    """Return the samples as OpenCV has them, [h, w] or [h, w, 3 or 4], colour as BGR, if any."""
    try:
        samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        why = sentence(error.err, MOST_QUOTED)
        raise ImageError(f'The compressed image cannot be decoded ({why}).') from error
    return None if samples is None else np.ascontiguousarray(samples)


def _encoding(samples: npt.NDArray[Any], original: str, exchanged: bool) -> str:
    """Return the encoding of the decompressed samples.

    Args:
        samples: [h, w] or [h, w, 3 or 4].
        original: the encoding of the image before its compression, '' where it was not told.
        exchanged: RGB was compressed as if it were BGR, as image_transport once did it.
    """
    bits = 8 * samples.dtype.itemsize
    if samples.ndim == 2:
        if original in LAYOUTS and original.startswith('bayer_') and original.endswith(str(bits)):
            return original
        if bits == 16 and original != 'mono16':
            raise ImageError(
                'The PNG image has one channel of 16 bits, which is depth, not a picture; '
                'subscribe to the compressed colour topic of the camera.'
            )
        return f'mono{bits}'
    order = 'rgb' if exchanged else 'bgr'
    return f'{order}{"a" if samples.shape[2] == 4 else ""}{bits}'
