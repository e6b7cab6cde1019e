# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node whose services queue many requests, and whose parameters say why a value is bad."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from rclpy.qos import QoSProfile

# Requests and replies that the middleware holds for a service. A client may send hundreds before
# the executor looks once; what exceeds the depth is lost silently, in both directions. Fast DDS
# takes no more than 5000.
SERVICE_DEPTH = 4000


class ServingNode(Node):
    """A node with a deep queue before every service, those of parameters too.

    Not those of the lifecycle: rcl makes them itself, with a depth of 10.

    Attributes:
        adapt: returns a parameter that is to be set with the type that it is declared with, or
            raises ValueError with a sentence.

    """

    adapt: Callable[[RosParameter], RosParameter] = staticmethod(lambda parameter: parameter)

    def create_service(self, *args: Any, **kwargs: Any) -> Any:
        """Do as rclpy's node does, with a deeper queue."""
        return super().create_service(
            *args, **{**kwargs, 'qos_profile': QoSProfile(depth=SERVICE_DEPTH)}
        )

    def set_parameters(self, parameter_list: list[RosParameter]) -> list[SetParametersResult]:
        """Set each parameter by itself, as `set_parameters_atomically` does."""
        return [self.set_parameters_atomically([parameter]) for parameter in parameter_list]

    def set_parameters_atomically(self, parameter_list: list[RosParameter]) -> SetParametersResult:
        """Do as rclpy's node does, but accept 4 for 4.0 and refuse with a sentence.

        rclpy compares types before callbacks are called, and `ros2 param set` takes 4 for an
        integer.
        """
        try:
            adapted = [self.adapt(parameter) for parameter in parameter_list]
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return super().set_parameters_atomically(adapted)
