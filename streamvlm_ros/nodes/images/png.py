# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a PNG says about itself, and whether all of it is there. No ROS here."""

from __future__ import annotations

import enum
import struct
import zlib

SIGNATURE = b'\x89PNG\r\n\x1a\n'


class Whole(enum.Enum):
    """What `look_at_png` found."""

    WHOLE = enum.auto()
    CUT_OFF = enum.auto()
    WRONG_CHECKSUM = enum.auto()


def png_size(data: bytes) -> tuple[int, int] | None:
    """Return height and width of a PNG; None: its first chunk does not have the size."""
    if len(data) < 24 or data[8:16] != b'\0\0\0\rIHDR':
        return None
    width, height = struct.unpack_from('>II', data, 16)
    return height, width


def look_at_png(data: bytes) -> Whole:
    """Tell whether every chunk up to the last is there and has its checksum (PNG, section 5.3)."""
    position = len(SIGNATURE)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from('>I4s', data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            break
        checksum = struct.unpack_from('>I', data, end)[0]
        if zlib.crc32(memoryview(data)[position + 4 : end]) != checksum:
            return Whole.WRONG_CHECKSUM
        if kind == b'IEND':
            return Whole.WHOLE
        position = end + 4
    return Whole.CUT_OFF
