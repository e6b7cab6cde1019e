# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Files of JSON, read with a sentence about what is wrong in them."""

from __future__ import annotations

import hashlib
import json
import math
import pathlib
from typing import Any

from streamvlm_ros.errors import CommandError


def read_json(path: pathlib.Path) -> Any:
    """Return what a file of JSON holds.

    Raises:
        CommandError: it is not there, cannot be read, or is not JSON.

    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise CommandError(f'{path} cannot be read: {error.strerror}.') from error
    except (ValueError, RecursionError) as error:
        raise CommandError(f'{path} is not a file of JSON: {error}.') from error


def digest(text: str) -> str:
    """Return what tells a text from others."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Fields:
    """The fields of one JSON object; a wrong one is told with its place in the file."""

    def __init__(self, where: str, value: Any) -> None:
        """Take an object.

        Args:
            where: the file, and the place in it.
            value: what is there.

        Raises:
            CommandError: it is not an object.

        """
        if not isinstance(value, dict):
            raise CommandError(f'{where} is {_shown(value)} and not a JSON object.')
        self.where, self.values = where, value

    def text(self, name: str) -> str:
        """Return a field that is a text, and not an empty one; CommandError otherwise."""
        value = self.get(name)
        if not isinstance(value, str) or not value.strip():
            self.refuse(name, value, 'a text')
        return str(value)

    def seconds(self, name: str) -> float:
        """Return a field that is a number of seconds from 0 on; CommandError otherwise."""
        value = self.get(name)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not 0 <= value < math.inf:
            self.refuse(name, value, 'a number of seconds, 0 or more')
        return float(value)

    def clock(self, name: str) -> float:
        """Return a field like '00:03:10', in seconds; CommandError otherwise."""
        value = self.get(name)
        parts = value.strip().split(':') if isinstance(value, str) else []
        if not 1 <= len(parts) <= 3 or not all(part.isdecimal() for part in parts):
            self.refuse(name, value, 'a time such as 00:03:10')
        seconds = 0
        for part in parts:
            seconds = 60 * seconds + int(part)
        return float(seconds)

    def number(self, name: str, most: int | None = None) -> int:
        """Return a field that is a whole number from 0 to ``most``; CommandError otherwise."""
        value = self.get(name)
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        if not whole or (most is not None and value > most):
            self.refuse(
                name, value, 'a whole number, 0 or more' if most is None else f'0 to {most}'
            )
        return int(value)

    def array(self, name: str) -> list[Any]:
        """Return a field that is a list, and not an empty one; CommandError otherwise."""
        value = self.get(name)
        if not isinstance(value, list) or not value:
            self.refuse(name, value, 'a list with something in it')
        return list(value)

    def texts(self, name: str) -> list[str]:
        """Return a field that is a list of texts; CommandError otherwise."""
        value = self.array(name)
        if not all(isinstance(each, str) for each in value):
            self.refuse(name, value, 'a list of texts')
        return value

    def get(self, name: str) -> Any:
        """Return a field as it is; CommandError: there is none."""
        if name not in self.values:
            raise CommandError(
                f'{self.where} has no field {name!r}; it has {", ".join(map(str, self.values))}.'
            )
        return self.values[name]

    def refuse(self, name: str, value: Any, wanted: str) -> None:
        """Raise CommandError for a field that is not what it has to be."""
        raise CommandError(f'{self.where}: {name} is {_shown(value)}; it has to be {wanted}.')


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + '...'
