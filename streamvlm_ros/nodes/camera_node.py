# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node of one of several cameras in a process, with its namespace and its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rclpy.parameter import Parameter as RosParameter

from streamvlm_ros.nodes.parameters.declare import given_parameters
from streamvlm_ros.nodes.parameters.parameter import ParameterError
from streamvlm_ros.nodes.parameters.parameters import check_values
from streamvlm_ros.nodes.parameters.table import PARAMETERS
from streamvlm_ros.nodes.serving_node import ServingNode


def camera_node(process: ServingNode, camera: str) -> ServingNode:
    """Return a node with the name of the process's node, in a namespace below its own."""
    name = process.get_name()
    namespace = '/'.join([process.get_namespace().rstrip('/'), camera])
    # Its own arguments come before those of the process, whose `-r __ns:=...` and `__node:=...`,
    # as every launch file gives them, are meant for the process's node and would hit all.
    own = ['--ros-args', '-r', f'__ns:={namespace}', '-r', f'__node:={name}']
    time = RosParameter('use_sim_time', value=process.get_parameter('use_sim_time').value)
    return ServingNode(name, namespace=namespace, cli_args=own, parameter_overrides=[time])


def camera_values(node: ServingNode, process: Mapping[str, Any]) -> dict[str, Any]:
    """Return the checked parameters of a camera: its own, and those of its process.

    Parameters that neither a file nor the command line gives the camera come from the process.

    Raises:
        ParameterError: a value is refused.

    """
    try:
        values = check_values(given_parameters(node, process))
    except ParameterError as error:
        raise ParameterError(f'{node.get_fully_qualified_name()}: {error}') from error
    for parameter in PARAMETERS:
        name = parameter.name
        if parameter.shared and values[name] != process[name]:
            node.get_logger().warning(
                f"The parameter '{name}' is one for all cameras of a process: {process[name]!r} "
                f'counts, not {values[name]!r}.'
            )
            values[name] = process[name]
    return values
