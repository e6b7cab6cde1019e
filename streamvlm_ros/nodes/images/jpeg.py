# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a JPEG says about itself, and whether all of it is there (ITU T.81). No ROS here.

libjpeg fills missing parts with grey and continues; its warning goes to stderr, and OpenCV returns
the picture as if it were whole.  So the structure is read here, and the picture is looked at.
"""

from __future__ import annotations

import dataclasses
import re
import struct
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

SIGNATURE = b'\xff\xd8\xff'
MOST_SEGMENTS = 10_000  # of a header; a camera writes ten
# Start of frame: every process but the markers between them that are something else (T.81,
# table B.1: C4 Huffman tables, C8 reserved, CC arithmetic conditioning).
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = frozenset({0xC0, 0xC1})  # Huffman coded, one pass over the picture
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})  # TEM, RST0 to RST7, SOI
_SCAN, _END, _RESTART_INTERVAL = 0xDA, 0xD9, 0xDD
# A marker that ends a scan: not a stuffed zero, not a restart, not one more fill byte.
_AFTER_SCAN = re.compile(rb'\xff+([^\x00\xd0-\xd7\xff])')
_RESTART = re.compile(rb'\xff[\xd0-\xd7]')
# What libjpeg gives the blocks that it has no data for: every coefficient 0.
_FILLED = 128
# Bytes that decode to something else than that.  Two are taken in with the last ones of a picture
# that is whole; more of them would make libjpeg write a warning.
_PROBE = b'\xa5\x5a'


@dataclasses.dataclass
class Jpeg:
    """The structure of one JPEG.

    Attributes:
        height, width: in pixels; 0 until a start of frame was found.
        sequential: Huffman coded in one pass, which is what cameras send.
        block: height and width in pixels of what is coded together (a minimum coded unit).
        restart: such units between two restart markers; 0: no restart markers.
        scans: begin and end of the coded data of each scan, in bytes.
        end: where the image ends; None: it is cut off.

    """

    height: int = 0
    width: int = 0
    sequential: bool = False
    block: tuple[int, int] = (8, 8)
    restart: int = 0
    scans: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    end: int | None = None


def read_jpeg(data: bytes, most_scans: int) -> Jpeg:
    """Walk through the segments of a JPEG.

    Bytes between two segments are skipped, as libjpeg does it.  A thumbnail is inside a segment
    and so counts for nothing.

    Args:
        data: begins with ``SIGNATURE``.
        most_scans: the walk ends after one more.

    """
    found = Jpeg()
    position = 2
    for _ in range(MOST_SEGMENTS):
        position = data.find(b'\xff', position)
        # Any number of them may stand there.
        while 0 <= position < len(data) and data[position] == 0xFF:
            position += 1
        if not 0 < position < len(data):
            break
        marker = data[position]
        position += 1
        if marker == _END:
            found.end = position
            break
        if marker == 0 or marker in _WITHOUT_LENGTH:
            continue
        if position + 2 > len(data):
            break
        start = position + 2
        position += max(2, struct.unpack_from('>H', data, position)[0])
        if marker in _FRAMES and not found.height:
            _read_frame(found, marker, data[start:position])
        elif marker == _RESTART_INTERVAL and start + 2 <= len(data):
            (found.restart,) = struct.unpack_from('>H', data, start)
        elif marker == _SCAN:
            after = _AFTER_SCAN.search(data, position)
            found.scans.append((position, after.start() if after else len(data)))
            if after is None or len(found.scans) > most_scans:
                break
            position = after.start()
    return found


def _read_frame(found: Jpeg, marker: int, segment: bytes) -> None:
    if len(segment) < 6:
        return
    found.height, found.width, parts = struct.unpack_from('>HHB', segment, 1)
    factors = [segment[7 + 3 * i] for i in range(parts) if 7 + 3 * i < len(segment)]
    if parts > 1 and factors:
        across = max(factor >> 4 for factor in factors)
        down = max(factor & 15 for factor in factors)
        # One component alone is coded block by block, whatever its factors say.
        found.block = (8 * max(down, 1), 8 * max(across, 1))
    found.sequential = marker in _SEQUENTIAL


def lost_restarts(data: bytes, jpeg: Jpeg) -> bool:
    """Tell whether restart markers are missing, or out of their order."""
    units = _units(jpeg)
    if units is None or not jpeg.restart:
        return False
    begin, end = jpeg.scans[0]
    numbers = [match[0][1] - 0xD0 for match in _RESTART.finditer(data, begin, end)]
    wanted = (units[0] * units[1] - 1) // jpeg.restart
    return len(numbers) < wanted or any(n != i % 8 for i, n in enumerate(numbers[:wanted]))


def was_filled(data: bytes, jpeg: Jpeg, samples: npt.NDArray[Any]) -> bool:
    """Tell whether the coded data has ended before the picture, so that libjpeg filled the rest.

    Where the last block before a restart marker or the end has exactly the grey of the filling,
    the image is decoded once more with a few bytes put in there.  A whole picture has all its
    blocks by then and stays as it is; in a filled one they take the place of the filling.

    Args:
        data: the JPEG, up to its end.
        jpeg: its structure.
        samples: [height, width] or [height, width, 3], as OpenCV decoded it.

    """
    units = _units(jpeg)
    if units is None or samples.shape[:2] != (jpeg.height, jpeg.width):
        return False
    last = units[0] * units[1] - 1
    numbers = np.array([*range(jpeg.restart or last + 1, last + 1, jpeg.restart or 1), last + 1])
    row, column = np.divmod(numbers - 1, units[1])
    middle = [
        (np.minimum((place + 1) * size, most) + place * size) // 2
        for place, size, most in zip(
            (row, column), jpeg.block, (jpeg.height, jpeg.width), strict=True
        )
    ]
    values = samples[middle[0], middle[1]].reshape(len(numbers), -1)
    if not (values == _FILLED).all(axis=1).any():
        return False
    begin, end = jpeg.scans[0]
    coded = _RESTART.sub(lambda match: _PROBE + match[0], data[begin:end])
    probed = data[:begin] + coded + _PROBE + data[end:]
    again = cv2.imdecode(np.frombuffer(probed, np.uint8), cv2.IMREAD_UNCHANGED)
    return again is None or not np.array_equal(again, samples)


def _units(jpeg: Jpeg) -> tuple[int, int] | None:
    """Return rows and columns of units; None: they do not follow each other in one scan."""
    if not jpeg.sequential or len(jpeg.scans) != 1:
        return None
    return -(-jpeg.height // jpeg.block[0]), -(-jpeg.width // jpeg.block[1])
