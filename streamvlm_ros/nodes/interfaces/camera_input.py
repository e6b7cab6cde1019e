# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The camera topic: subscribed while the node is active, its images handed to be decoded."""

from __future__ import annotations

from collections.abc import Callable
import functools
from typing import Any, cast

from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from streamvlm_ros.engine import StreamWorker
from streamvlm_ros.nodes.faults import Faults
from streamvlm_ros.nodes.images.compressed import decode_compressed
from streamvlm_ros.nodes.images.image_decoder import Decoder
from streamvlm_ros.nodes.images.images import decode_image, Frame
from streamvlm_ros.nodes.interfaces.submit import ParameterValue
from streamvlm_ros.nodes.texts import sentence


class CameraInput:
    """Subscribes to `image` or `image/compressed`. Called by the executor's thread only."""

    def __init__(self, node: Node, faults: Faults) -> None:
        """Subscribe to nothing yet; `faults` counts those of the program."""
        self._node, self._faults = node, faults
        self._subscription: Subscription[Any] | None = None
        self._decoder: Decoder | None = None

    @property
    def publishers(self) -> list[str]:
        """Full names of the nodes that publish on the topic; none while it is not subscribed to.

        A node with two publishers is there twice.
        """
        if self._subscription is None:
            return []
        found = self._node.get_publishers_info_by_topic(self._subscription.topic_name)
        return [f'{info.node_namespace.rstrip("/")}/{info.node_name}' for info in found]

    @property
    def topic(self) -> str:
        """The topic's full name; empty while it is not subscribed to."""
        return str(self._subscription.topic_name) if self._subscription is not None else ''

    def open(self, worker: StreamWorker, parameter: ParameterValue) -> str:
        """Hand the images that come from now on to the worker.

        Args:
            worker: takes the frames.
            parameter: returns a parameter's value: of the transport and the bounds.

        Returns:
            The topic's full name.

        """
        kind: Any = Image
        topic, decode = 'image', cast(Callable[..., Frame], decode_image)
        if parameter('image_transport') == 'compressed':
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
        self._decoder = Decoder(
            worker,
            functools.partial(
                decode,
                max_pixels=parameter('max_image_pixels'),
                depth_range=parameter('depth_range'),
            ),
            self._warn,
            self._faults,
            parameter('queue_bytes'),
        )
        return self.topic

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
        self._node.get_logger().warning(sentence(fault), throttle_duration_sec=5.0)
