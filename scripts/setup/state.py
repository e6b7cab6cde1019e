# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Remembers which steps are done, each by a hash of what went into it."""

from __future__ import annotations

from collections.abc import Iterable
import hashlib
import json
import pathlib


def digest(*values: str, files: Iterable[pathlib.Path] = ()) -> str:
    """Return a hash of strings and of the names and contents of files."""
    total = hashlib.sha256()
    for value in values:
        total.update(value.encode() + b'\0')
    for file in sorted(files):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        total.update(f'{file.name}\0{content}\0'.encode())
    return total.hexdigest()


class State:
    """The keys of the steps, kept in a file: '' for a step that was begun and has not ended."""

    def __init__(self, path: pathlib.Path) -> None:
        """Read `path`; if it is missing, or was cut off while it was written, nothing is done."""
        self._path = path
        try:
            self._keys: dict[str, str] = dict(json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            self._keys = {}

    def key(self, step: str) -> str | None:
        """Return the key that a step was finished with; '': it has not ended; None: not begun."""
        return self._keys.get(step)

    def note(self, step: str, key: str = '') -> None:
        """Note that a step begins, or with which key it has ended."""
        self._keys[step] = key
        self._path.write_text(json.dumps(self._keys, indent=2) + '\n')

    def clear(self) -> None:
        """Forget every step."""
        self._keys = {}
