# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Images of a camera, good and bad."""

from __future__ import annotations

import array
import random
from typing import Any

import numpy as np
from sensor_msgs.msg import Image

SECOND = 1_000_000_000
SIZES = ((112, 84), (84, 112), (56, 56), (320, 180))


def good_image(rng: random.Random, stamp_ns: int, size: tuple[int, int] = SIZES[0]) -> Image:
    """Return an rgb8 image of a coarse pattern; a stamp that a message cannot carry is cut."""
    width, height = size
    coarse = np.random.default_rng(rng.getrandbits(32)).integers(0, 256, (4, 4, 3), np.uint8)
    pixels = coarse[np.arange(height) * 4 // height][:, np.arange(width) * 4 // width]
    image = Image(height=height, width=width, encoding='rgb8', step=3 * width)
    seconds, rest = divmod(stamp_ns, SECOND)
    image.header.stamp.sec = min(max(seconds, 0), 2**31 - 1)
    image.header.stamp.nanosec = rest
    image.header.frame_id = 'camera'
    image.data.frombytes(pixels.tobytes())
    return image


LIES: tuple[dict[str, Any], ...] = (
    {'width': 2**32 - 1},
    {'height': 2**32 - 1},
    {'step': 2**32 - 1},
    {'step': 0},
    {'width': 0, 'height': 0},
    {'encoding': 'rgb9'},
    {'encoding': ''},
    {'encoding': 'x' * 100_000},
    {'encoding': '\x1b[31mEVIL\x1b[0m\n[INFO] forged'},
    {'data': array.array('B')},
    {'data': array.array('B', bytes(100))},
    {'encoding': '32FC1'},
    {'encoding': 'nv24'},
    {'encoding': 'mono16', 'is_bigendian': 255},
    {'width': 1, 'step': 1, 'encoding': 'mono8'},
    {'width': 60_000, 'height': 60_000, 'step': 180_000},
)


def bad_image(rng: random.Random, stamp_ns: int) -> Image:
    """Return a message that lies in one of its fields."""
    image = good_image(rng, stamp_ns)
    if rng.random() < 0.1:
        image.header.frame_id = 'f' * rng.choice((300, 200_000))
        return image
    for name, value in rng.choice(LIES).items():
        setattr(image, name, value)
    return image
