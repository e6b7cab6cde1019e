# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A camera that misbehaves, as a process of its own.

    python -m support.soak.camera TOPIC SEED RATE

It publishes until stdin is closed, and tells each spell of bad behaviour as a line of JSON: its
kind, how many images were published, and how often a stamp may be taken for a jump back.  Sleeps
are its rate, nothing is decided by them.
"""

from __future__ import annotations

import collections
import json
import random
import select
import sys
import time
from typing import Any

import rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from support.soak.images import bad_image, good_image, SECOND, SIZES

TOLERANCE = SECOND  # the parameter late_tolerance
KINDS = {
    'steady': 30,
    'jitter': 15,
    'late': 8,
    'repeated': 4,
    'zero': 4,
    'bad': 12,
    'size': 4,
    'pause': 4,
    'back': 3,
    'ahead': 3,
    'second': 4,
    'second, other clock': 2,
}


class Camera:
    """Publishes images and keeps account of their stamps."""

    def __init__(self, topic: str, seed: int, rate: float) -> None:
        """Join the graph."""
        self.rng = random.Random(seed)
        self.period = round(SECOND / rate)
        self.now = 1000 * SECOND  # the camera's own clock
        self.newest = 0
        self.jumps = 0
        self.published = 0
        self.node = rclpy.create_node('soak_camera')
        self.publisher = self._publisher(topic)
        self.topic = topic
        self.due = time.monotonic()

    def _publisher(self, topic: str) -> Any:
        return self.node.create_publisher(Image, topic, QoSProfile(depth=200))

    def send(self, image: Image, publisher: Any = None) -> None:
        """Publish; note where the stamp may begin a new epoch."""
        stamp = image.header.stamp.sec * SECOND + image.header.stamp.nanosec
        if stamp:
            if stamp < self.newest - TOLERANCE:
                self.jumps += 1
                self.newest = stamp
            self.newest = max(self.newest, stamp)
        (publisher or self.publisher).publish(image)
        self.published += 1

    def tick(self) -> None:
        """Let a period pass, on the camera's clock and on the wall."""
        self.now += self.period
        self.due = max(self.due + self.period / SECOND, time.monotonic() - 1.0)
        time.sleep(max(0.0, self.due - time.monotonic()))

    def spell(self) -> str:
        """Behave in one way for a while; return which."""
        rng = self.rng
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
        count = rng.randrange(5, 60)
        size = SIZES[0]
        if kind == 'pause':
            for _ in range(rng.choice((30, 90, 200))):
                self.tick()
            return kind
        if kind == 'back':
            self.now = max(SECOND, self.now - rng.choice((3, 60, 900)) * SECOND)
        if kind == 'size':
            size = rng.choice(SIZES)
        second = self._publisher(self.topic) if kind.startswith('second') else None
        apart = rng.choice((20, 50, 400)) * 10**6 if kind == 'second' else 40 * SECOND
        count = min(count, 10) if kind == 'second, other clock' else count
        for number in range(count):
            stamp = self.now
            if kind == 'jitter':
                stamp += rng.randrange(-15, 16) * 10**6
            elif kind == 'late' and number % 5 == 4:
                stamp -= rng.randrange(50, 900) * 10**6
            elif kind == 'repeated':
                stamp -= number % 4 * self.period
            elif kind == 'zero':
                stamp = 0
            elif kind == 'ahead' and number == count // 2:
                stamp += rng.choice((4 * 10**3, 10**6, 10**8)) * SECOND
            image = bad_image(rng, stamp) if kind == 'bad' else good_image(rng, stamp, size)
            self.send(image)
            if second is not None:
                self.send(good_image(rng, self.now - apart), second)
            self.tick()
        if second is not None:
            self.node.destroy_publisher(second)
        return kind


def main() -> int:
    """Publish until stdin is closed."""
    topic, seed, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    rclpy.init()
    camera = Camera(topic, seed, rate)
    spells: collections.Counter[str] = collections.Counter()
    while not select.select([sys.stdin], [], [], 0)[0]:
        spells[camera.spell()] += 1
        print(
            json.dumps({'published': camera.published, 'jumps': camera.jumps, 'spells': spells}),
            flush=True,
        )
    camera.publisher.wait_for_all_acked(rclpy.duration.Duration(seconds=20))
    camera.node.destroy_node()
    rclpy.shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
