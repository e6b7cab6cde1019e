# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A camera: publishes rgb8 images at a fixed rate, stamped when they are sent.

    python -m benchmark.node.camera_process TOPIC WIDTH HEIGHT HZ SECONDS

It waits for a subscriber, and says at the end how many it has sent and how late the latest was.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from streamvlm_ros.stamps import NANOSECONDS

PICTURES = 8


def main() -> int:
    """Publish; return the exit code."""
    topic, width, height = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    hz, seconds = float(sys.argv[4]), float(sys.argv[5])
    rclpy.init()
    node = rclpy.create_node('benchmark_camera')
    rng = np.random.default_rng(0)
    messages = []
    for _ in range(PICTURES):
        message = Image(height=height, width=width, encoding='rgb8', step=3 * width)
        message.header.frame_id = 'camera'
        message.data.frombytes(rng.integers(0, 256, 3 * width * height, np.uint8).tobytes())
        messages.append(message)
    publisher = node.create_publisher(Image, topic, qos_profile_sensor_data)
    while not publisher.get_subscription_count():
        time.sleep(0.02)
    time.sleep(0.5)  # the subscriber learns of the publisher a moment later
    began, latest = time.perf_counter(), 0.0
    count = round(hz * seconds)
    for number in range(count):
        due = began + number / hz
        time.sleep(max(0.0, due - time.perf_counter()))
        message = messages[number % PICTURES]
        now = time.time_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, NANOSECONDS)
        publisher.publish(message)
        latest = max(latest, time.perf_counter() - due)
    print(json.dumps({'sent': count, 'latest_s': round(latest, 4)}), flush=True)
    time.sleep(1.0)  # the last messages must arrive before the publisher is destroyed
    rclpy.shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
