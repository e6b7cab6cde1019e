# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The CvBridge of a ROS distribution, used if it converts as our own decoder does."""

from __future__ import annotations

from collections.abc import Callable
import functools
from typing import Any

import numpy as np

from streamvlm_ros.nodes.images.encodings import LAYOUTS

SIDE = 6  # pixels of the image of the check
PADDING = 2  # bytes after each of its rows


@functools.cache
def bridge_for(encoding: str, own: Callable[[Any], Any]) -> Any | None:
    """Return a CvBridge that converts an encoding as our own decoder does, or None.

    PyPI's build fails on colour images with OpenCV 5 and misreads padded rows, one from a
    distribution can meet a NumPy that it was not built for, and older ones do not know every
    encoding. So importing it proves nothing: before it is trusted with an encoding, it converts
    an image with padded rows in it, in both byte orders.

    Args:
        encoding: of `encodings.LAYOUTS`.
        own: the own decoder.

    """
    try:
        from cv_bridge import CvBridge

        bridge = CvBridge()
        works = all(
            np.array_equal(bridge.imgmsg_to_cv2(message, 'rgb8'), own(message))
            for message in _samples(encoding)
        )
    except Exception:  # whatever a broken build raises, our own decoder is used
        return None
    return bridge if works else None


def _samples(encoding: str) -> list[Any]:
    """Return images of noise, padded, in the byte orders that the encoding can have."""
    from sensor_msgs.msg import Image

    layout = LAYOUTS[encoding]
    step = SIDE * layout.channels * np.dtype(layout.dtype).itemsize + PADDING
    noise = np.random.default_rng(5).integers(0, 256, SIDE * step, np.uint8).tobytes()
    orders = (0, 1) if np.dtype(layout.dtype).itemsize > 1 else (0,)
    return [
        Image(
            height=SIDE, width=SIDE, encoding=encoding, step=step, is_bigendian=order, data=noise
        )
        for order in orders
    ]
