# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The size of a compressed picture by its header, before anybody decompresses it. No ROS here."""

from __future__ import annotations

import struct

# Start of frame: every process but the markers between them that are something else (ITU T.81,
# table B.1: C4 Huffman tables, C8 reserved, CC arithmetic conditioning).
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})  # TEM, RST0 to RST7, SOI
_SCAN, _END = 0xDA, 0xD9


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return height and width of a JPEG; None: none stands before its first scan.

    Bytes between two segments are skipped, as libjpeg does it.
    """
    position = 2
    while (position := data.find(b'\xff', position)) >= 0:
        # Any number of them may stand there.
        while position < len(data) and data[position] == 0xFF:
            position += 1
        if position >= len(data):
            return None
        marker = data[position]
        position += 1
        if marker == 0 or marker in _WITHOUT_LENGTH:
            continue
        if marker in (_SCAN, _END) or position + 2 > len(data):
            return None
        if marker in _FRAMES:
            if position + 7 > len(data):
                return None
            height, width = struct.unpack_from('>HH', data, position + 3)
            return height, width
        position += max(2, struct.unpack_from('>H', data, position)[0])
    return None


def png_size(data: bytes) -> tuple[int, int] | None:
    """Return height and width of a PNG; None: its first chunk is not that of the size."""
    if len(data) < 24 or data[8:16] != b'\0\0\0\rIHDR':
        return None
    width, height = struct.unpack_from('>II', data, 16)
    return height, width
