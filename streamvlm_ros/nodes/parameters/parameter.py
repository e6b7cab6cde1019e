# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One parameter: its purpose, its values, and the sentence for a bad one. No ROS here."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

from streamvlm_ros.nodes.texts import MOST_QUOTED, quoted, sentence

Value = bool | int | float | str
LONGEST = 4096  # characters of a text, unless the table says otherwise


class ParameterError(ValueError):
    """A parameter that cannot be used; `str(error)` is a sentence for the user."""


class Settable(enum.Enum):
    """When a parameter can be set; the value is the sentence of the table about it."""

    ALWAYS = 'Can be set while the node runs.'
    UNCONFIGURED = ''  # it decides how the stream is built
    START = 'Can be given at the start only.'


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter of the node: its purpose and its values."""

    name: str
    default: Value
    description: str
    choices: tuple[str, ...] = ()  # of a string; empty: anything
    minimum: float | None = None
    maximum: float | None = None
    step: int = 0  # of an integer, counted from the minimum; 0: any
    settable: Settable = Settable.UNCONFIGURED
    shared: bool = False  # one for all cameras of a process
    is_list: bool = False  # a text with commas; a list of texts is taken for it
    longest: int = LONGEST  # characters of a text

    @property
    def read_only(self) -> bool:
        """Whether it cannot be set after the node has started."""
        return self.settable is Settable.START

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
            value = float(value)  # YAML's `2`, meant as `2.0`
        if self.is_list and value is None:
            value = ''  # ROS knows no empty list: it gives a parameter of no type for one
        if value is None:
            raise ParameterError(
                f"The parameter '{self.name}' is given without a value; it must be "
                f'{_TYPE_NAMES[type(self.default)]}.'
            )
        if self.is_list and isinstance(value, list) and all(isinstance(v, str) for v in value):
            value = ', '.join(value)
        if type(value) is not type(self.default):
            raise ParameterError(
                f"The parameter '{self.name}' must be {_TYPE_NAMES[type(self.default)]}, not "
                f'{_shown(value)}.'
            )
        if isinstance(value, str) and len(value) > self.longest:
            raise ParameterError(
                f"The parameter '{self.name}' has {len(value)} characters; give at most "
                f'{self.longest}.'
            )
        if self.choices and value not in self.choices:
            raise ParameterError(
                f"The parameter '{self.name}' must be one of {', '.join(self.choices)}, not "
                f'{_shown(value)}.'
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
        """Return the range in words; '' without one."""
        if self.minimum is None or self.maximum is None:
            return ''
        every = f' in steps of {self.step}' if self.step else ''
        number = '.0f' if isinstance(self.default, int) else 'g'
        return f'from {self.minimum:{number}} to {self.maximum:{number}}{every}'


def _shown(value: Any) -> str:
    return quoted(value) if isinstance(value, str) else sentence(repr(value), MOST_QUOTED)


_TYPE_NAMES = {bool: 'true or false', int: 'a whole number', float: 'a number', str: 'a text'}
