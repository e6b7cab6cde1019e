# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Remembers which steps are done, each by a hash of what went into it."""

from __future__ import annotations

from collections.abc import Iterable
import hashlib
import json
import os
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
    """The keys of the finished steps, kept in a file."""

    def __init__(self, path: pathlib.Path) -> None:
        """Read `path`; a missing or unreadable file means that nothing is done."""
        self._path = path
        try:
            self._keys: dict[str, str] = dict(json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            self._keys = {}

    def is_done(self, step: str, key: str) -> bool:
        """Say whether `step` was finished with this key."""
        return self._keys.get(step) == key

    def is_unfinished(self, step: str) -> bool:
        """Say whether `step` was begun and did not come to its end."""
        return self._keys.get(step) == ''

    def begin(self, step: str) -> None:
        """Note that `step` is under way, so that an interruption shows."""
        self._set(step, '')

    def finish(self, step: str, key: str) -> None:
        """Note that `step` is done."""
        self._set(step, key)

    def clear(self) -> None:
        """Forget every step."""
        self._keys = {}

    def _set(self, step: str, key: str) -> None:
        self._keys[step] = key
        part = self._path.with_suffix('.part')
        part.write_text(json.dumps(self._keys, indent=2) + '\n')
        os.replace(part, self._path)
