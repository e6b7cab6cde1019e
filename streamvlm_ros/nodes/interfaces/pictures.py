# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The frames that an answer rests on, as messages."""

from __future__ import annotations

import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage

from streamvlm_ros.engine import Answer
from streamvlm_ros.nodes.interfaces.gate import awaitable
from streamvlm_ros.nodes.interfaces.messages import header_message

QUALITY = 95  # of JPEG, of 100


class Pictures:
    """Writes the frames of answers as JPEG, in a thread of its own.

    A frame of 720p takes 7 ms, and a span has 16 of them: in the executor's thread images of the
    camera would wait for them.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        """Begin; `wake` wakes the executor, from any thread."""
        self._wake = wake
        self._pool = ThreadPoolExecutor(1, 'pictures')

    async def messages(self, answer: Answer) -> list[CompressedImage]:
        """Return the frames of an answer that has them, in the order of its evidence."""
        if not answer.images:
            return []
        written = self._pool.submit(_messages, answer)
        await awaitable(written, self._wake)
        return written.result()

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown()


def _messages(answer: Answer) -> list[CompressedImage]:
    return [
        CompressedImage(
            header=header_message(stamp_ns, answer.frame_id),
            format='jpeg',
            data=_jpeg(image),
        )
        for stamp_ns, image in zip(answer.evidence.stamps_ns, answer.images, strict=True)
    ]


def _jpeg(image: np.ndarray) -> array.array[int]:
    """Return a JPEG file; rclpy checks each byte of `bytes` in Python, but not of an array."""
    colours, quality = cv2.cvtColor(image, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, QUALITY)
    return array.array('B', cv2.imencode('.jpg', colours, quality)[1].tobytes())
