# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The one table of the node's parameters. No ROS here.

The node declares and checks its parameters with it, `streamvlm replay` too, and the test of the
YAML files and docs/interfaces.md read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import dataclasses
import difflib
from typing import Any

from streamvlm_ros.engine import StreamSettings

Value = bool | int | float | str


class ParameterError(ValueError):
    """A parameter that cannot be used; `str(error)` is a sentence for the user."""


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter of the node: what it is for and what it may be."""

    name: str
    default: Value
    description: str
    choices: tuple[str, ...] = ()  # of a string; empty: anything
    minimum: float | None = None
    maximum: float | None = None
    step: int = 0  # of an integer, counted from the minimum; 0: any
    read_only: bool = True  # decides how the stream is built; takes effect at start only

    def check(self, value: Any) -> Value:
        """Return the value with the parameter's type.

        Raises:
            ParameterError: wrong type, out of range or not one of the choices.
        """
        if (
            isinstance(self.default, float)
            and isinstance(value, int)
            and not isinstance(value, bool)
        ):
            value = float(value)  # YAML's `2` where `2.0` is meant
        if type(value) is not type(self.default):
            raise ParameterError(
                f"The parameter '{self.name}' must be {_TYPE_NAMES[type(self.default)]}, not "
                f'{value!r}.'
            )
        if self.choices and value not in self.choices:
            raise ParameterError(
                f"The parameter '{self.name}' must be one of {', '.join(self.choices)}, not "
                f'{value!r}.'
            )
        if not self._within_range(value):
            raise ParameterError(
                f"The parameter '{self.name}' must be {self.range_text()}, not {value!r}."
            )
        return value

    def _within_range(self, value: Any) -> bool:
        if self.minimum is not None and not value >= self.minimum:  # `not >=` catches NaN too
            return False
        if self.maximum is not None and value > self.maximum:
            return False
        return not self.step or (value - int(self.minimum or 0)) % self.step == 0

    def range_text(self) -> str:
        """Return the range in words, '' where there is none."""
        if self.minimum is None or self.maximum is None:
            return ''
        every = f' in steps of {self.step}' if self.step else ''
        return f'from {self.minimum:g} to {self.maximum:g}{every}'


_TYPE_NAMES = {bool: 'true or false', int: 'a whole number', float: 'a number', str: 'a text'}
_STREAM = StreamSettings()  # the engine's own defaults are the node's

PARAMETERS = (
    Parameter(
        'model', 'tiny', "The model: 'tiny' (embedded), a folder, or a Hugging Face hub id."
    ),
    Parameter(
        'device',
        'auto',
        "Where the model runs: 'auto' (the GPU if there is one), 'cpu', 'cuda', 'cuda:1' ...",
    ),
    Parameter(
        'dtype',
        'auto',
        "The model's number format; 'auto' is bfloat16 on a GPU and float32 on the CPU.",
        choices=('auto', 'float32', 'bfloat16', 'float16'),
    ),
    Parameter(
        'sample_rate',
        _STREAM.sample_rate,
        'Frames per second of stream time (by header stamps) that the model sees; 0: every frame.',
        minimum=0.0,
        maximum=240.0,
    ),
    Parameter(
        'chunk_frames',
        _STREAM.chunk_frames,
        'Frames that are prefilled together; more are cheaper per frame, fewer are in the '
        'memory sooner.',
        minimum=2,
        maximum=8,
        step=2,
    ),
    Parameter(
        'min_pixels',
        _STREAM.min_pixels,
        "Smaller images are enlarged to this many pixels; 0: the model's own limit.",
        minimum=0,
        maximum=1 << 26,
    ),
    Parameter(
        'max_pixels',
        _STREAM.max_pixels,
        "Larger images are reduced to this many pixels; 0: the model's own limit.",
        minimum=0,
        maximum=1 << 26,
    ),
    Parameter(
        'position_mode',
        _STREAM.position_mode,
        "'continuous': the chunks are one video, answers equal the offline model's; 'append': "
        'each chunk is its own.',
        choices=('continuous', 'append'),
    ),
    Parameter(
        'time_source',
        _STREAM.time_source,
        "The frames' times: 'stamp' from the image headers, 'uniform' one frame every 1 / "
        'sample_rate seconds.',
        choices=('stamp', 'uniform'),
    ),
    Parameter(
        'system_prompt',
        _STREAM.system_prompt,
        "What the model is told first; empty: the model's own default.",
    ),
    Parameter(
        'capacity',
        _STREAM.capacity,
        'Tokens of KV cache, allocated at start.',
        minimum=256,
        maximum=1 << 24,
    ),
    Parameter(
        'queue_frames',
        64,
        'Sampled frames that may wait for the model; beyond that the oldest is dropped and '
        'counted.',
        minimum=1,
        maximum=4096,
    ),
    Parameter(
        'max_new_tokens',
        128,
        'Longest answer, in tokens, where the request says 0.',
        minimum=1,
        maximum=8192,
        read_only=False,
    ),
    Parameter(
        'request_timeout',
        30.0,
        'Seconds that a request may take where it says 0 itself; 0: no limit.',
        minimum=0.0,
        maximum=3600.0,
        read_only=False,
    ),
)


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
    return checked


def unknown_parameter(name: str, known: Iterable[str]) -> str:
    """Return the sentence for a name that is not in the table, with the nearest one that is."""
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f"; did you mean '{near[0]}'?" if near else '; docs/interfaces.md lists them all.'
    return f"The parameter '{name}' is unknown{hint}"


def _check_pixels(values: Mapping[str, Any]) -> None:
    if values['max_pixels'] and values['min_pixels'] > values['max_pixels']:
        raise ParameterError(
            f"The parameter 'min_pixels' ({values['min_pixels']}) must not be larger than "
            "'max_pixels' "
            f'({values["max_pixels"]}).'
        )


def stream_settings(values: Mapping[str, Any]) -> StreamSettings:
    """Return the engine's settings out of checked parameters."""
    names = [field.name for field in dataclasses.fields(StreamSettings)]
    return StreamSettings(**{name: values[name] for name in names if name in values})


def markdown_table() -> str:
    """Return the table as docs/interfaces.md has it."""
    rows = ['| parameter | default | values | |', '|---|---|---|---|']
    for parameter in PARAMETERS:
        values = parameter.range_text() or ', '.join(parameter.choices) or 'text'
        changes = '' if parameter.read_only else ' Can be set while the node runs.'
        default = repr(parameter.default) if parameter.default != '' else "''"
        rows.append(
            f'| `{parameter.name}` | `{default}` | {values} | {parameter.description}{changes} |'
        )
    return '\n'.join(rows)
