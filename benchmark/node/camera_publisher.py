# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A camera driver's process: publishes images at a steady rate and prints what it did, as JSON.

    python -m benchmark.node.camera_publisher /image --kind raw --seconds 10

It publishes what was serialised before and changes the stamp only, so that it costs the machine
no more than a driver in C++ would.
"""

from __future__ import annotations

import argparse
import json
import struct
import time
from typing import Any

import cv2
import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image

from streamvlm_ros.stamps import NANOSECONDS

FRAMES = 6  # different ones, repeated
STAMP_AT = 4  # bytes of encapsulation before the header's stamp
START_TIME, SETTLE_TIME = 60.0, 1.0  # seconds


def pictures(width: int, height: int) -> list[np.ndarray]:
    """Return RGB frames in which a box crosses a floor with some texture."""
    coarse = np.random.default_rng(0).integers(60, 180, (height // 8, width // 8, 3), np.uint8)
    floor = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    made = []
    for i in range(FRAMES):
        frame = floor.copy()
        left = (width - 200) * i // FRAMES
        frame[height // 3 : height // 3 + 200, left : left + 200] = (200, 40, 40)
        made.append(frame)
    return made


def message(frame: np.ndarray, kind: str) -> Any:
    """Return an Image (raw) or a CompressedImage (jpeg)."""
    height, width, _ = frame.shape
    if kind == 'jpeg':
        image: Any = CompressedImage(format='rgb8; jpeg compressed bgr8')
        data = cv2.imencode('.jpg', frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    else:
        image = Image(height=height, width=width, encoding='rgb8', step=3 * width)
        data = frame
    image.header.frame_id = 'camera'
    image.data.frombytes(data.tobytes())
    return image


def publish(
    node: Node,
    topic: str,
    kind: str,
    images: list[Any],
    rate: float,
    seconds: float,
) -> dict[str, Any]:
    """Publish for some time at some rate in Hz; return counts, stamps and the largest delay."""
    publisher = node.create_publisher(
        CompressedImage if kind == 'jpeg' else Image, topic, qos_profile_sensor_data
    )
    buffers = [bytearray(serialize_message(image)) for image in images]
    deadline = time.monotonic() + START_TIME
    while not publisher.get_subscription_count() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(SETTLE_TIME)
    first, worst = time.time_ns(), 0.0
    began, cpu = time.perf_counter(), time.process_time()
    count = round(seconds * rate)
    stamps = [first + round(i * NANOSECONDS / rate) for i in range(count)]
    for i, stamp in enumerate(stamps):
        buffer = buffers[i % len(buffers)]
        struct.pack_into('<iI', buffer, STAMP_AT, *divmod(stamp, NANOSECONDS))
        due = began + i / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        publisher.publish(bytes(buffer))
        worst = max(worst, time.perf_counter() - due)
    took = time.perf_counter() - began
    time.sleep(SETTLE_TIME)  # what was published last is on its way
    return {
        'published': count,
        'seconds': took,
        'first_stamp_ns': first,
        'worst_lateness_s': worst,
        'message_bytes': len(buffers[0]),
        'cpu_share': (time.process_time() - cpu) / took,
    }


def main() -> None:
    """Publish and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('topic')
    parser.add_argument('--kind', choices=('raw', 'jpeg'), default='raw')
    parser.add_argument('--width', type=int, default=1920)
    parser.add_argument('--height', type=int, default=1080)
    parser.add_argument('--rate', type=float, default=30.0)
    parser.add_argument('--seconds', type=float, default=10.0)
    given = parser.parse_args()
    images = [message(frame, given.kind) for frame in pictures(given.width, given.height)]
    rclpy.init()
    node = rclpy.create_node('camera')
    print(json.dumps(publish(node, given.topic, given.kind, images, given.rate, given.seconds)))
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == '__main__':
    main()
