# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Values read from a file; they must have the right type and range."""

from __future__ import annotations

from collections.abc import Sequence
import json
from typing import Any, NoReturn

from streamvlm_ros.stamps import LAST_STAMP

# Counters continue from loaded values, and must fit int64 when they are saved again.
LARGEST = (1 << 62) - 1
# Far beyond the positions of any stream; arithmetic with it stays in int64.
LAST_POSITION = 1 << 40


class UnfitError(ValueError):
    """A value in a file is impossible; ``str(error)`` is a clause that says why."""


def integer(value: Any, name: str, low: int = 0, high: int = LARGEST) -> int:
    """Return a whole number in a range.

    Raises:
        UnfitError: it is not a whole number in this range; a bool is not one.

    """
    if type(value) is not int:
        raise UnfitError(f'{name} is {shown(value)} and not a whole number')
    if not low <= value <= high:
        raise UnfitError(f'{name} is {shown(value)}, but must be from {low} to {high}')
    return value


def time(value: Any, name: str) -> int:
    """Return nanoseconds that fit a ROS time; raises as ``integer``."""
    return integer(value, name, 0, LAST_STAMP)


def text(value: Any, name: str, longest: int) -> str:
    """Return a text that can be written as UTF-8.

    Raises:
        UnfitError: it is not a text, is too long, or has lone surrogates.

    """
    if type(value) is not str:
        raise UnfitError(f'{name} is {shown(value)} and not a text')
    if len(value) > longest:
        raise UnfitError(f'{name} has {len(value)} characters, but may have {longest}')
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UnfitError(f'{name} has characters that do not exist') from None
    return value


def record(value: Any, name: str, fields: Sequence[str]) -> list[Any]:
    """Return the values of an object that has these fields and no others, in their order.

    Raises:
        UnfitError: it has other fields, or is not an object.

    """
    if type(value) is not dict or value.keys() != set(fields):
        raise UnfitError(f'{name} does not have the fields {", ".join(fields)}, and no others')
    return [value[field] for field in fields]


def items(value: Any, name: str, number: int | None = None) -> list[Any]:
    """Return the items of a list, which must have ``number`` items if that is given.

    Raises:
        UnfitError: it is not such a list.

    """
    if type(value) is not list or (number is not None and len(value) != number):
        raise UnfitError(f'{name} is not a list' + (f' of {number}' if number is not None else ''))
    return value


def parse_json(data: bytes | str) -> Any:
    """Return the value of a JSON text.

    Raises:
        UnfitError: it is not JSON in UTF-8, is nested too deeply, has a field twice, or has
            numbers that JSON does not have.

    """
    try:
        return json.loads(
            data if isinstance(data, str) else data.decode(),
            object_pairs_hook=_unique,
            parse_constant=_no_number,
        )
    except RecursionError:
        raise UnfitError('its header is nested too deeply') from None
    except ValueError as error:
        raise UnfitError('its header cannot be read') from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError('a field is there twice')
    return fields


def _no_number(value: str) -> NoReturn:
    raise ValueError(f'{value} is not a number')


def shown(value: Any) -> str:
    """Return any value as a short text that can be printed."""
    if type(value) is int and value.bit_length() > 64:
        return f'a number of {value.bit_length()} bits'
    return printable(str(value)[:60])


def printable(value: str) -> str:
    """Return a text with ? for each character that cannot be printed."""
    return ''.join(character if character.isprintable() else '?' for character in value)
