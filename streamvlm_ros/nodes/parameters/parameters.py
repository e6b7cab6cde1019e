# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node's parameters together: checked against the table and each other. No ROS here.

The node declares and checks its parameters with this, `streamvlm replay` too, and the test of the
YAML files and docs/interfaces.md read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import dataclasses
import difflib
from typing import Any

from streamvlm_ros.answer_settings import AnswerSettings
from streamvlm_ros.engine import StreamError, StreamSettings
from streamvlm_ros.engine.config import check_sample_rate
from streamvlm_ros.nodes.parameters.camera_names import parse_names
from streamvlm_ros.nodes.parameters.parameter import ParameterError, Settable, Value
from streamvlm_ros.nodes.parameters.table import PARAMETERS
from streamvlm_ros.nodes.parameters.watch_lines import parse_watches
from streamvlm_ros.nodes.texts import MOST_QUOTED, quoted


def check_values(values: Mapping[str, Any]) -> dict[str, Value]:
    """Complete some parameters with the defaults.

    Raises:
        ParameterError: an unknown name, or a value that its parameter refuses.
    """
    known = {parameter.name: parameter for parameter in PARAMETERS}
    for name in values:
        if name not in known:
            raise ParameterError(unknown_parameter(name, known))
    checked = {name: known[name].check(values.get(name, known[name].default)) for name in known}
    _check_pixels(checked)
    _check_sample_rate(checked)
    answer_settings(checked)
    parse_watches(str(checked['watches']))
    parse_names(str(checked['cameras']))
    return checked


def check_changes(
    current: Mapping[str, Any], changes: Mapping[str, Any], *, configured: bool
) -> dict[str, Value]:
    """Check what is to be set in a node that runs.

    Args:
        current: the values of the table, or of the part that the node has, as they are.
        changes: new values; names that are not in the table (use_sim_time) are ignored.
        configured: there is a stream, which some parameters have decided about.

    Returns:
        The changes to the table.

    Raises:
        ParameterError: a parameter refuses its value, or cannot be set now.
    """
    known = {parameter.name: parameter for parameter in PARAMETERS}
    table = {name: value for name, value in changes.items() if name in current}
    checked = check_values({**current, **table})
    for name in table:
        fixed = configured and known[name].settable is not Settable.ALWAYS
        if fixed and checked[name] != current[name]:
            raise ParameterError(
                f"The parameter '{name}' decides how the stream is built; to set it, clean the "
                'node up first (ros2 lifecycle set ... cleanup).'
            )
    return {name: checked[name] for name in table}


def unknown_parameter(name: str, known: Iterable[str]) -> str:
    """Return the sentence for a name that is not in the table, with the nearest one that is."""
    near = difflib.get_close_matches(name[:MOST_QUOTED], list(known), n=1)
    hint = f"; did you mean '{near[0]}'?" if near else '; docs/interfaces.md lists them all.'
    return f'The parameter {quoted(name)} is unknown{hint}'


def _check_pixels(values: Mapping[str, Any]) -> None:
    for name in ('max_pixels', 'now_max_pixels'):
        if values[name] and values['min_pixels'] > values[name]:
            raise ParameterError(
                f"The parameter 'min_pixels' ({values['min_pixels']}) must not be larger than "
                f"'{name}' ({values[name]})."
            )


def _check_sample_rate(values: Mapping[str, Any]) -> None:
    """Refuse rates that the range allows: between 0 and the lowest, and 0 without stamps."""
    try:
        check_sample_rate(values['sample_rate'], values['time_source'])
    except StreamError as error:
        raise ParameterError(f"The parameter 'sample_rate' cannot be that: {error}") from error


def answer_settings(values: Mapping[str, Any]) -> AnswerSettings:
    """Return how answers are drawn out of parameters.

    Raises:
        ParameterError: a value that its range allows is too small.
    """
    names = [field.name for field in dataclasses.fields(AnswerSettings)]
    try:
        return AnswerSettings(**{name: values[name] for name in names})
    except StreamError as error:
        raise ParameterError(f'A parameter cannot be that: {error}') from error


def stream_settings(values: Mapping[str, Any]) -> StreamSettings:
    """Return the engine's settings out of checked parameters."""
    names = [field.name for field in dataclasses.fields(StreamSettings)]
    return StreamSettings(**{name: values[name] for name in names if name in values})


def markdown_table() -> str:
    """Return the table as docs/interfaces.md has it."""
    rows = ['| parameter | default | values | |', '|---|---|---|---|']
    for parameter in PARAMETERS:
        values = parameter.range_text() or ', '.join(parameter.choices) or 'text'
        if isinstance(parameter.default, bool):
            values = 'True, False'
        changes = f' {parameter.settable.value}' if parameter.settable.value else ''
        default = repr(parameter.default)
        # A vertical bar would end the cell.
        description = parameter.description.replace('|', '\\|')
        rows.append(f'| `{parameter.name}` | `{default}` | {values} | {description}{changes} |')
    return '\n'.join(rows)
