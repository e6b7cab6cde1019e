# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The camera topic: subscribed while the node is active, its images handed to be decoded."""

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
from streamvlm_ros.nodes.decoding import Decoder
from streamvlm_ros.nodes.images import decode_image, Frame


class CameraInput:
    """Subscribes to `image` or `image/compressed`. Called by the executor's thread only."""

    def __init__(self, node: Node) -> None:
        """Subscribe to nothing yet."""
        self._node = node
        self._subscription: Subscription[Any] | None = None
        self._decoder: Decoder | None = None

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
        self._subscription = self._node.create_subscription(
            kind,
            topic,
            self._take,
            qos_profile_sensor_data,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._decoder = Decoder(worker, decode, self._warn)
        return str(self._subscription.topic_name)

    def close(self) -> None:
        """Unsubscribe. May be called again."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        if self._decoder is not None:
            self._decoder.close()
            self._decoder = None

    def _take(self, msg: Any) -> None:
        if self._decoder is not None:
            self._decoder.put(msg)

    def _warn(self, fault: str) -> None:
        self._node.get_logger().warning(fault, throttle_duration_sec=5.0)
