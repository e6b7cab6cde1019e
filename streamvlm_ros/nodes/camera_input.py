# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The camera topic: subscribed while the node is active, its images handed to the worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from streamvlm_ros.engine import StreamWorker
from streamvlm_ros.nodes.compressed import decode_compressed
from streamvlm_ros.nodes.images import decode_image, Frame, ImageError
from streamvlm_ros.nodes.stamps import to_nanoseconds


class CameraInput:
    """Subscribes to `image` or `image/compressed`. Called by the executor's thread only."""

    def __init__(self, node: Node) -> None:
        """Subscribe to nothing yet."""
        self._node = node
        self._subscription: Subscription[Any] | None = None
        self._worker: StreamWorker | None = None

    def open(self, worker: StreamWorker, transport: str) -> str:
        """Hand the images that come from now on to the worker.

        Args:
            worker: takes the frames.
            transport: the parameter `image_transport`.

        Returns:
            The topic's full name.

        """
        kind: Any = Image
        topic, decode = 'image', cast(Callable[[Any], Frame], decode_image)
        if transport == 'compressed':
            # As image_transport does it: the name of the raw topic, remapped, and then the suffix.
            topic = f'{self._node.resolve_topic_name(topic)}/compressed'
            kind, decode = CompressedImage, decode_compressed
        self._worker = worker
        self._subscription = self._node.create_subscription(
            kind,
            topic,
            lambda msg: self._take(msg, decode),
            qos_profile_sensor_data,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        return str(self._subscription.topic_name)

    def close(self) -> None:
        """Unsubscribe. May be called again."""
        self._worker = None
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _take(self, msg: Any, decode: Callable[[Any], Frame]) -> None:
        if self._worker is None:
            return
        if self._worker.paused:
            self._worker.count_left_out()
            return
        try:
            frame = decode(msg)
        except ImageError as error:
            self._worker.count_failed(str(error))
            self._node.get_logger().warning(str(error), throttle_duration_sec=5.0)
            return
        self._worker.submit_frame(frame, to_nanoseconds(msg.header.stamp), msg.header.frame_id)
