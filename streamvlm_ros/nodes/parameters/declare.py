# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The table of parameters on a node: read, declared, and checked when one is set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from streamvlm_ros.engine import StreamError
from streamvlm_ros.nodes.parameters.parameter import Parameter, ParameterError
from streamvlm_ros.nodes.parameters.parameters import check_changes, unknown_parameter
from streamvlm_ros.nodes.parameters.table import PARAMETERS
from streamvlm_ros.nodes.serving_node import ServingNode


class DeclaredParameters:
    """Some parameters of the table, on the node that has them."""

    def __init__(
        self,
        node: ServingNode,
        parameters: Sequence[Parameter],
        values: Mapping[str, Any],
        is_configured: Callable[[], bool],
        apply: Callable[[Mapping[str, Any]], None],
    ) -> None:
        """Declare them.

        Args:
            node: whose parameters they are.
            parameters: which of the table.
            values: checked ones, for these at least.
            is_configured: tells whether there is a stream, which some parameters decide about.
            apply: applies checked changes; may raise a StreamError.

        """
        self._node = node
        self._parameters = parameters
        self._is_configured = is_configured
        self._apply = apply
        for parameter in parameters:
            node.declare_parameter(
                parameter.name, values[parameter.name], describe(parameter), ignore_override=True
            )
        node.add_on_set_parameters_callback(self._set)
        node.adapt = self._adapt

    def value(self, name: str) -> Any:
        """Return a parameter's value as it is now."""
        return self._node.get_parameter(name).value

    def values(self) -> dict[str, Any]:
        """Return all values as they are now."""
        return {parameter.name: self.value(parameter.name) for parameter in self._parameters}

    def _adapt(self, given: RosParameter) -> RosParameter:
        """Return a parameter that is to be set with the type that it is declared with.

        Raises:
            ParameterError: it is unknown, or its value is refused.

        """
        known = {parameter.name: parameter for parameter in self._parameters}
        parameter = known.get(given.name)
        if parameter is None:
            if not self._node.has_parameter(given.name):
                raise ParameterError(unknown_parameter(given.name, known))
            return given
        return RosParameter(given.name, value=parameter.check(given.value))

    def _set(self, parameters: list[RosParameter]) -> SetParametersResult:
        """Check what is to be set while the node runs, and hand it on."""
        changes = {parameter.name: parameter.value for parameter in parameters}
        try:
            self._apply(check_changes(self.values(), changes, configured=self._is_configured()))
        except (ParameterError, StreamError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)


def given_parameters(node: ServingNode, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return what files and command line give a node for the table, unchecked.

    Args:
        node: it; nothing stays declared on it.
        defaults: values for parameters that are not given, instead of the table's.
    """
    # Dynamically typed, without a range: rclpy would refuse a bad override with a traceback. The
    # table refuses it with a sentence, and accepts YAML's 2 for 2.0.
    anything = ParameterDescriptor(dynamic_typing=True)
    given = {}
    for parameter in PARAMETERS:
        default = defaults.get(parameter.name, parameter.default)
        given[parameter.name] = node.declare_parameter(parameter.name, default, anything).value
        node.undeclare_parameter(parameter.name)
    return given


def overrides(node: Node) -> dict[str, Any]:
    """Return all that files and command line give a node, whether it is declared or not."""
    # rclpy has no public way to them that would not declare them too.
    return {name: given.value for name, given in node._parameter_overrides.items()}


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
