# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The table of image messages with the exact pixels that every decoder has to make of them."""

from __future__ import annotations

import dataclasses
import struct


@dataclasses.dataclass
class RawImage:
    """The fields of a sensor_msgs/Image that decoding reads; needs no ROS."""

    width: int
    height: int
    encoding: str
    step: int
    data: bytes
    is_bigendian: int = 0


def _pack(kind: str, *values: float) -> bytes:
    return struct.pack(f'{kind[0]}{len(values)}{kind[1]}', *values)


RED, GREEN, BLUE = [255, 0, 0], [0, 255, 0], [0, 0, 255]
LOW, HIGH = [10, 10, 10], [200, 200, 200]
A, B = [1, 2, 3], [40, 50, 60]
# A flat grey scene: whatever the pattern, the missing colours come out as the same grey.
_FLAT = bytes([90] * 16)
_GREY = [[[90] * 3] * 4] * 4
# One bright red site per 2x2: only the pattern decides that the picture is red.
_RED_SITES = {
    'rggb': [255, 0, 0, 0],
    'bggr': [0, 0, 0, 255],
    'gbrg': [0, 0, 255, 0],
    'grbg': [0, 255, 0, 0],
}


def _mosaic(pattern: str) -> bytes:
    a, b, c, d = _RED_SITES[pattern]
    return bytes(([a, b] * 3 + [c, d] * 3) * 3)


VECTORS: list[tuple[str, RawImage, list[list[list[int]]]]] = [
    ('rgb8', RawImage(2, 1, 'rgb8', 6, bytes(A + B)), [[A, B]]),
    ('rgb8, padded rows', RawImage(1, 2, 'rgb8', 5, bytes(A + [9, 9] + B + [9, 9])), [[A], [B]]),
    ('rgb8, last row not padded', RawImage(1, 2, 'rgb8', 5, bytes(A + [9, 9] + B)), [[A], [B]]),
    ('rgb8, bytes behind the end', RawImage(1, 1, 'rgb8', 3, bytes(A + B)), [[A]]),
    ('bgr8', RawImage(2, 1, 'bgr8', 6, bytes(A[::-1] + B[::-1])), [[A, B]]),
    (
        'bgr8, padded rows',
        RawImage(1, 2, 'bgr8', 4, bytes(A[::-1] + [9] + B[::-1] + [9])),
        [[A], [B]],
    ),
    ('rgba8', RawImage(2, 1, 'rgba8', 8, bytes(A + [0] + B + [255])), [[A, B]]),
    ('bgra8', RawImage(2, 1, 'bgra8', 8, bytes(A[::-1] + [0] + B[::-1] + [7])), [[A, B]]),
    (
        'bgra8, padded rows',
        RawImage(1, 2, 'bgra8', 6, bytes(A[::-1] + [0, 5, 5] + B[::-1] + [0, 5, 5])),
        [[A], [B]],
    ),
    ('mono8', RawImage(2, 1, 'mono8', 2, bytes([10, 200])), [[LOW, HIGH]]),
    (
        'mono8, padded rows',
        RawImage(1, 2, 'mono8', 3, bytes([10, 0, 0, 200, 0, 0])),
        [[LOW], [HIGH]],
    ),
    # 2570 and 51400 are 10 and 200 times 257; 2698 and 2699 lie on both sides of 10.5.
    (
        'mono16',
        RawImage(3, 1, 'mono16', 6, _pack('<H', 2570, 51400, 65535)),
        [[LOW, HIGH, [255] * 3]],
    ),
    ('mono16, rounded', RawImage(2, 1, 'mono16', 4, _pack('<H', 2698, 2699)), [[LOW, [11] * 3]]),
    (
        'mono16, big endian',
        RawImage(2, 1, 'mono16', 4, _pack('>H', 2570, 51400), 1),
        [[LOW, HIGH]],
    ),
    (
        'mono16, odd step',
        RawImage(1, 2, 'mono16', 3, _pack('<H', 2570) + b'x' + _pack('<H', 51400)),
        [[LOW], [HIGH]],
    ),
    ('rgb16', RawImage(1, 1, 'rgb16', 6, _pack('<H', 257, 514, 771)), [[A]]),
    ('bgr16, big endian', RawImage(1, 1, 'bgr16', 6, _pack('>H', 771, 514, 257), 1), [[A]]),
    ('rgba16', RawImage(1, 1, 'rgba16', 8, _pack('<H', 257, 514, 771, 9)), [[A]]),
    ('bgra16', RawImage(1, 1, 'bgra16', 8, _pack('<H', 771, 514, 257, 9)), [[A]]),
    ('8UC1', RawImage(2, 1, '8UC1', 2, bytes([10, 200])), [[LOW, HIGH]]),
    ('8UC3', RawImage(1, 1, '8UC3', 3, bytes(A[::-1])), [[A]]),
    ('8UC4', RawImage(1, 1, '8UC4', 4, bytes(A[::-1] + [0])), [[A]]),
    (
        '32FC3, big endian',
        RawImage(1, 1, '32FC3', 12, _pack('>f', 3 / 255, 2 / 255, 1 / 255), 1),
        [[A]],
    ),
    # BT.601 video range: Y 16 is black, 235 white; 82, 90, 240 is pure red but for rounding.
    ('uyvy', RawImage(2, 1, 'uyvy', 4, bytes([128, 16, 128, 235])), [[[0] * 3, [255] * 3]]),
    (
        'yuv422',
        RawImage(2, 1, 'yuv422', 4, bytes([90, 82, 240, 82])),
        [[[255, 1, 0], [255, 1, 0]]],
    ),
    ('yuyv', RawImage(2, 1, 'yuyv', 4, bytes([16, 128, 235, 128])), [[[0] * 3, [255] * 3]]),
    (
        'yuv422_yuy2',
        RawImage(2, 1, 'yuv422_yuy2', 4, bytes([82, 90, 82, 240])),
        [[[255, 1, 0], [255, 1, 0]]],
    ),
    (
        'yuyv, padded rows',
        RawImage(2, 2, 'yuyv', 5, bytes([16, 128, 235, 128, 7] * 2)),
        [[[0] * 3, [255] * 3]] * 2,
    ),
    ('nv12', RawImage(2, 2, 'nv12', 2, bytes([82] * 4 + [90, 240])), [[[255, 1, 0]] * 2] * 2),
    ('nv21', RawImage(2, 2, 'nv21', 2, bytes([82] * 4 + [240, 90])), [[[255, 1, 0]] * 2] * 2),
    (
        'nv12, padded rows',
        RawImage(2, 2, 'nv12', 3, bytes([82, 82, 0] * 2 + [90, 240, 0])),
        [[[255, 1, 0]] * 2] * 2,
    ),
    # Full colour for every pixel: red beside black, and an odd width.
    (
        'nv24',
        RawImage(3, 1, 'nv24', 3, bytes([82, 16, 235, 90, 240, 128, 128, 128, 128])),
        [[[255, 1, 0], [0] * 3, [255] * 3]],
    ),
    # A row of colour takes two steps and is padded at its end only.
    (
        'nv24, padded rows',
        RawImage(
            2,
            2,
            'nv24',
            3,
            bytes([82, 16, 9, 235, 82, 9, 90, 240, 128, 128, 9, 9, 128, 128, 90, 240, 9, 9]),
        ),
        [[[255, 1, 0], [0] * 3], [[255] * 3, [255, 1, 0]]],
    ),
    *[(f'bayer_{p}8, flat', RawImage(4, 4, f'bayer_{p}8', 4, _FLAT), _GREY) for p in _RED_SITES],
    *[
        (f'bayer_{p}8, red', RawImage(6, 6, f'bayer_{p}8', 6, _mosaic(p)), [[RED] * 6] * 6)
        for p in _RED_SITES
    ],
    *[
        (
            f'bayer_{p}16, red',
            RawImage(6, 6, f'bayer_{p}16', 12, _pack('<H', *[257 * x for x in _mosaic(p)])),
            [[RED] * 6] * 6,
        )
        for p in _RED_SITES
    ],
    (
        'bayer_rggb8, padded rows',
        RawImage(4, 4, 'bayer_rggb8', 6, (bytes([90] * 4) + b'xx') * 4),
        _GREY,
    ),
    (
        'bayer_rggb16, big endian, padded rows',
        RawImage(4, 4, 'bayer_rggb16', 9, (_pack('>H', *[90 * 257] * 4) + b'x') * 4, 1),
        _GREY,
    ),
    (
        '32FC3, padded rows',
        RawImage(1, 2, '32FC3', 15, _pack('<f', 0, 0, 0) + bytes(3) + _pack('<f', 1, 1, 1)),
        [[[0] * 3], [[255] * 3]],
    ),
    (
        'rgb16, big endian, padded rows',
        RawImage(1, 2, 'rgb16', 8, _pack('>H', 257, 514, 771, 9, 10280, 12850, 15420, 9), 1),
        [[A], [B]],
    ),
]

DEPTH_RANGE = 4.0  # metres
# Nothing was measured at 0, at infinity, and where there is no number (REP 118).
DEPTH_VECTORS: list[tuple[str, RawImage, list[list[int]]]] = [
    (
        '16UC1',
        RawImage(5, 1, '16UC1', 10, _pack('<H', 0, 1, 2000, 4000, 65535)),
        [[0, 255, 128, 0, 0]],
    ),
    (
        '16UC1, big endian',
        RawImage(1, 2, '16UC1', 3, _pack('>H', 1000) + b'x' + _pack('>H', 3000), 1),
        [[191], [64]],
    ),
    (
        '32FC1',
        RawImage(6, 1, '32FC1', 24, _pack('<f', 1.0, 3.0, 9.0, 0.0, float('nan'), float('inf'))),
        [[191, 64, 0, 0, 0, 0]],
    ),
]
