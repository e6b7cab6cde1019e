# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A camera's topic, listened to for some seconds: who publishes, how, how fast, what is lost."""

from __future__ import annotations

from collections.abc import Iterator
import time
from typing import Any

from streamvlm_ros.doctor.finding import bad, Finding, note, ok
from streamvlm_ros.nodes.images.arrivals import Arrivals, Losses
from streamvlm_ros.stamps import to_nanoseconds

FIND_TIME = 3.0  # seconds to discover the topic's publishers
TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')


def check_topic(topic: str, seconds: float) -> Iterator[Finding]:
    """Check an image topic as the node would subscribe to it.

    Args:
        topic: its full name; with /compressed for compressed images.
        seconds: to listen.

    """
    name = f'Topic {topic}'
    try:
        import rclpy
        from rclpy.context import Context
        from rclpy.signals import SignalHandlerOptions
    except ImportError as error:
        yield bad(
            name,
            f'It cannot be listened to without ROS 2 ({error}).',
            "Source a distribution's setup file, or use scripts/with_ros.",
        )
        return
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = rclpy.create_node('streamvlm_doctor', context=context)
        yield from _listen(node, context, topic, name, seconds)
        node.destroy_node()
    finally:
        rclpy.try_shutdown(context=context)


def _listen(node: Any, context: Any, topic: str, name: str, seconds: float) -> Iterator[Finding]:
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.utilities import get_rmw_implementation_identifier
    from sensor_msgs.msg import CompressedImage, Image

    from streamvlm_ros.nodes.images.image_qos import (
        AUTO,
        choose_reliability,
        event_callbacks,
        loss_sentences,
        message_facts,
        named,
        takes_message_info,
    )

    deadline = time.monotonic() + FIND_TIME
    while not (found := node.get_publishers_info_by_topic(topic)):
        if time.monotonic() > deadline:
            yield bad(
                name,
                'Nothing publishes on it.',
                'Look for its name (ros2 topic list), and at ROS_DOMAIN_ID of both sides.',
            )
            return
        time.sleep(0.05)
    wrong = sorted({info.topic_type for info in found} - set(TYPES))
    if wrong:
        yield bad(name, f'It has {wrong[0]}, which is no image.', 'Give the topic of the images.')
        return
    kind = CompressedImage if found[0].topic_type == TYPES[1] else Image
    offers = sorted((info.node_name, info.qos_profile.reliability) for info in found)
    reliability = choose_reliability(AUTO, offers)
    arrivals = Arrivals(time.monotonic(), has_stamps=True)
    stamps: list[int] = []

    def count(message: Any, number: int | None, publisher: bytes) -> None:
        stamps.append(to_nanoseconds(message.header.stamp))
        arrivals.take(stamps[-1], number, publisher, time.monotonic())

    def take(message: Any) -> None:
        count(message, None, b'')

    def take_with_info(message: Any, info: Any) -> None:
        count(message, *message_facts(info))

    node.create_subscription(
        kind,
        topic,
        take_with_info if takes_message_info() else take,
        reliability.profile(),
        event_callbacks=event_callbacks(arrivals.tell_lost, lambda: None),
    )
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0.0:
        executor.spin_once(timeout_sec=left)
    executor.shutdown()
    losses = arrivals.look(time.monotonic())
    if len(offers) > 1:
        others = named([node_name for node_name, _ in offers])
        yield bad(name, f'{len(offers)} nodes publish on it: {others}.', 'Stop all but one.')
    yield from _judge(name, losses, reliability.name, seconds, stamps)
    for sentence in loss_sentences(
        losses, topic, reliability, get_rmw_implementation_identifier()
    ):
        yield bad(name, sentence, '')


def _judge(
    name: str, losses: Losses, delivery: str, seconds: float, stamps: list[int]
) -> Iterator[Finding]:
    if not losses.received:
        yield bad(
            name,
            f'No image came in {seconds:g} s.',
            'Check that the camera runs, and that its QoS fits (ros2 topic info -v).',
        )
        return
    arrived, published = losses.rates
    yield ok(
        name,
        f'{arrived:.1f} images a second arrive of {published:.1f}, {delivery}; '
        f'{losses.lost} lost, {losses.missing} missing by their stamps.',
    )
    if not any(stamps):
        yield bad(
            name,
            'Its images have no stamps.',
            'Set time_source to uniform, or let the driver stamp them.',
        )
    elif stamps != sorted(stamps):
        yield note(name, 'Its stamps go back.', "Check the camera's clock.")
