# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A camera as a process of its own: `camera_process.py RELIABILITY COUNT`; 640 x 480 at 30 Hz.

Fast DDS reads its profile once a process, so that a test's own process cannot be without one. It
publishes from the first subscriber on; a COUNT of 0 has no end. It goes when its stdin closes.
"""

from __future__ import annotations

import sys
import threading
import time

import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

RATE, WIDTH, HEIGHT, QUEUE = 30, 640, 480, 200


def main() -> None:
    reliability, count = ReliabilityPolicy[sys.argv[1].upper()], int(sys.argv[2])
    closed = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        closed.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    rclpy.init()
    node = rclpy.create_node('camera')
    profile = QoSProfile(depth=QUEUE, reliability=reliability)
    publisher = node.create_publisher(Image, '/image', profile)
    image = Image(height=HEIGHT, width=WIDTH, encoding='rgb8', step=3 * WIDTH)
    image.data.frombytes(bytes(3 * WIDTH * HEIGHT))
    while not publisher.get_subscription_count() and not closed.wait(0.02):
        pass
    sent = 0
    while (not count or sent < count) and not closed.is_set():
        stamp = 1000 * RATE + sent
        image.header.stamp.sec = stamp // RATE
        image.header.stamp.nanosec = stamp % RATE * (1_000_000_000 // RATE)
        publisher.publish(image)
        sent += 1
        time.sleep(1 / RATE)
    closed.wait()
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == '__main__':
    main()
