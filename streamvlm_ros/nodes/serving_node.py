# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node whose services, those of its parameters among them, hold what comes together."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile

# Requests and replies that the middleware holds for a service. A client may send hundreds before
# the executor looks once; what is over the depth is lost without a word, on either way. Fast DDS
# takes no more than 5000.
SERVICE_DEPTH = 4000


class ServingNode(Node):
    """A node with a deep queue before every service, those of parameters too.

    Not those of the lifecycle: rcl makes them itself, with a depth of 10.
    """

    def create_service(self, *args: Any, **kwargs: Any) -> Any:
        """Do as rclpy's node does, but for the depth of the queue."""
        return super().create_service(
            *args, **{**kwargs, 'qos_profile': QoSProfile(depth=SERVICE_DEPTH)}
        )
