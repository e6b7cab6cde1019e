# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Plays a bag's images, raw or compressed as they are, into a topic in real time.

`python -m streamvlm_ros.bags.player BAG TOPIC [SUBSCRIBERS [BAG_TOPIC]] [--clock]`

For machines without `ros2 bag play`. It waits for subscribers (1 by default), follows the header
stamps, and ends with the bag. BAG_TOPIC is needed if the bag has several image topics; --clock
publishes the stamps on /clock too.
"""

from __future__ import annotations

import pathlib
import sys
import time
from typing import Any

from streamvlm_ros import interrupts

if __name__ == '__main__':  # before the other imports, which take time
    interrupts.install()

import numpy as np
import rclpy
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image

from streamvlm_ros.bags.bags import is_compressed, open_images
from streamvlm_ros.errors import CommandError
from streamvlm_ros.stamps import to_nanoseconds

SUBSCRIBER_TIME = 60.0  # seconds to wait for the node, which loads its model first
# The subscriber discovers the publisher a moment later than the reverse, and when cannot be seen
# here. A best-effort subscriber loses what is published before that.
SETTLE_TIME = 0.5  # seconds
QUEUE = 100


def main() -> int:
    """Play; return the exit code."""
    given = [argument for argument in sys.argv[1:] if argument != '--clock']
    with_clock = len(given) < len(sys.argv) - 1
    bag, topic, subscribers, bag_topic = [*given, *('1', '')[len(given) - 2 :]]
    # Signals are handled below, or by the caller.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('streamvlm_player')
    try:
        play(node, pathlib.Path(bag), topic, int(subscribers), bag_topic, with_clock)
    except CommandError as error:
        print(f'player: {error}', file=sys.stderr)
        return 1
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


def play(
    node: Node,
    bag: pathlib.Path,
    topic: str,
    subscribers: int,
    bag_topic: str = '',
    with_clock: bool = False,
) -> None:
    """Publish every image of a bag's topic, each as long after the first as its stamp says.

    Raises:
        CommandError: the bag cannot be read, or too few subscribe.

    """
    with open_images(bag, bag_topic) as images:
        messages = [to_ros(message) for _, message in images.recorded()]
        faults = [*images.faults, images.last_damage] if images.damaged else images.faults
        for fault in faults:
            print(f'player: {fault}', file=sys.stderr)
    if not messages:
        raise CommandError(f'{bag} has no image on {images.topic.name} that can be read.')
    publisher = node.create_publisher(type(messages[0]), topic, QoSProfile(depth=QUEUE))
    deadline = time.monotonic() + SUBSCRIBER_TIME
    while publisher.get_subscription_count() < subscribers:
        if time.monotonic() > deadline:
            raise CommandError(
                f'{topic} has fewer than {subscribers} subscribers after {SUBSCRIBER_TIME:g} s.'
            )
        time.sleep(0.02)
    time.sleep(SETTLE_TIME)
    clock = node.create_publisher(Clock, '/clock', QoSProfile(depth=1)) if with_clock else None
    first = to_nanoseconds(messages[0].header.stamp)
    began = time.monotonic()
    for message in messages:
        due = (to_nanoseconds(message.header.stamp) - first) / 1e9
        time.sleep(max(0.0, began + due - time.monotonic()))
        if clock is not None:
            clock.publish(Clock(clock=message.header.stamp))
        publisher.publish(message)
    # The last messages must reach the subscriber before the publisher is destroyed.
    publisher.wait_for_all_acked(Duration(seconds=5.0))


def to_ros(message: Any) -> Image | CompressedImage:
    """Return a bag's image as rclpy's."""
    if is_compressed(message):
        image: Any = CompressedImage(format=message.format)
    else:
        image = Image(
            height=message.height,
            width=message.width,
            encoding=message.encoding,
            is_bigendian=message.is_bigendian,
            step=message.step,
        )
    image.header.frame_id = message.header.frame_id
    image.header.stamp.sec = int(message.header.stamp.sec)
    image.header.stamp.nanosec = int(message.header.stamp.nanosec)
    image.data.frombytes(np.asarray(message.data).tobytes())
    return image


if __name__ == '__main__':
    sys.exit(main())
