# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Declares the table of parameters on a node."""

from __future__ import annotations

from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from streamvlm_ros.nodes.parameter import Parameter
from streamvlm_ros.nodes.parameter_table import PARAMETERS
from streamvlm_ros.nodes.parameters import check_values


def declare_parameters(node: Node) -> dict[str, Any]:
    """Declare the table on a node and return the checked values.

    Raises:
        ParameterError: a value that is refused.

    """
    # Typed loosely and without a range at first: rclpy would refuse a bad override with a trace of
    # its own words, the table refuses it with a sentence, and takes YAML's 2 for 2.0.
    anything = ParameterDescriptor(dynamic_typing=True)
    given: dict[str, Any] = {
        p.name: node.declare_parameter(p.name, p.default, anything).value for p in PARAMETERS
    }
    values = check_values(given)
    for parameter in PARAMETERS:
        node.undeclare_parameter(parameter.name)
        node.declare_parameter(
            parameter.name, values[parameter.name], describe(parameter), ignore_override=True
        )
    return values


def describe(parameter: Parameter) -> ParameterDescriptor:
    """Return the descriptor that `ros2 param describe` shows."""
    descriptor = ParameterDescriptor(
        name=parameter.name,
        type=RosParameter.Type.from_parameter_value(parameter.default).value,
        description=parameter.description,
        read_only=parameter.read_only,
    )
    if parameter.choices:
        descriptor.additional_constraints = f'one of {", ".join(parameter.choices)}'
    if parameter.minimum is not None and parameter.maximum is not None:
        low, high = parameter.minimum, parameter.maximum
        if isinstance(parameter.default, int):
            descriptor.integer_range = [
                IntegerRange(from_value=int(low), to_value=int(high), step=parameter.step)
            ]
        else:
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    return descriptor
