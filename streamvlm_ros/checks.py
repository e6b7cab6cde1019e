# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What callers hand in, checked for its type: a wrong one is INVALID_REQUEST with a sentence.

Each function returns the value as Python's own type; NumPy's scalars are taken too. No torch and
no ROS are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import math
import numbers
from typing import Any, NoReturn

from streamvlm_ros.errors import ErrorCode, StreamError


def text(what: str, value: Any) -> str:
    """Return a text.

    Raises:
        StreamError: INVALID_REQUEST; it is none, or has half of a surrogate pair.

    """
    if not isinstance(value, str):
        _refuse(f'The {what} must be a text, not {_kind(value)}.')
    try:
        value.encode()
    except UnicodeEncodeError:
        _refuse(f'The {what} has half of a surrogate pair, which is not text; leave it out.')
    return str(value)


def several(what: str, values: Any) -> Sequence[Any]:
    """Return a list, whose items are not looked at; one text alone is refused.

    Raises:
        StreamError: INVALID_REQUEST.

    """
    sequence = isinstance(values, Sequence) or hasattr(values, '__array__')
    if isinstance(values, (str, bytes, bytearray)) or not sequence:
        _refuse(f'The {what} must be a list of texts, not {_kind(values)}.')
    return values


def flag(what: str, value: Any) -> bool:
    """Return True or False; StreamError INVALID_REQUEST for anything else, 0 and 1 too."""
    if not isinstance(value, bool) and type(value).__name__ not in ('bool_', 'bool'):
        _refuse(f'{what} is {_shown(value)}; give True or False.')
    return bool(value)


def number(what: str, value: Any) -> float:
    """Return a number; StreamError INVALID_REQUEST for anything else.

    It may be infinite or NaN, which the bounds of every number here refuse.
    """
    if not isinstance(value, bool) and isinstance(value, numbers.Real):
        try:
            return float(value)
        except OverflowError:
            return math.inf  # an integer beyond all bounds
    return _refuse(f'{what} is {_shown(value)}; give a number.')


def integer(what: str, value: Any) -> int:
    """Return a whole number, also one that is written 1e6; StreamError INVALID_REQUEST."""
    if not isinstance(value, bool) and isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return _refuse(f'{what} is {_shown(value)}; give a whole number.')


OF_TYPE: dict[type, Callable[[str, Any], Any]] = {
    bool: flag,
    float: number,
    int: integer,
    str: text,
}


def _kind(value: Any) -> str:
    return type(value).__name__


def _shown(value: Any) -> str:
    """Return a value for a sentence, whatever it is."""
    try:
        return f'{value!a:.60} ({_kind(value)})'
    except Exception:
        return f'a {_kind(value)}'


def _refuse(sentence: str) -> NoReturn:
    raise StreamError(ErrorCode.INVALID_REQUEST, sentence)
