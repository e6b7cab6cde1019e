# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The file of responses that a run appends to, and goes on with after it was killed.

Its lines are JSON objects. The first one says what was run. A line is written as a whole after
each question and each video; a kill loses at most the one that is being written, which is cut off
when the file is opened again.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import fcntl
import json
import os
import pathlib
from typing import Any, BinaryIO, NoReturn

from streamvlm_ros.errors import CommandError

FORMAT = 1
RUN, QUESTION, VIDEO = 'run', 'question', 'video'  # the first key of a line tells what it is
_START = b'{"run"'


class ResponseFile:
    """Responses and figures of a run.

    Attributes:
        about: what was run, by name; empty: nothing yet.
        questions: the newest line of each question, by its key.
        videos: all lines of videos.
        whole_bytes: how much of the file is whole lines.

    """

    def __init__(self, path: pathlib.Path, file: BinaryIO) -> None:
        """Read an open file; a torn last line is passed over.

        Raises:
            CommandError: it is another file, or a line in its midst is damaged.

        """
        self.about: dict[str, Any] = {}
        self.questions: dict[str, dict[str, Any]] = {}
        self.videos: list[dict[str, Any]] = []
        self._path, self._file = path, file
        whole = 0
        for number, line in enumerate(file, 1):
            row = _row(line)
            if row is not None:
                self._take(row, number)
            elif line.endswith(b'\n') or (
                number == 1 and not _START.startswith(line[: len(_START)])
            ):
                self._refuse(number)
            else:
                break  # torn: the last line has no end
            whole += len(line)
        self.whole_bytes = whole

    def require(self, about: dict[str, Any]) -> None:
        """Refuse to mix responses of different runs.

        Args:
            about: what is run now, by name; what the file does not say is written to it.

        Raises:
            CommandError: something differs.

        """
        for name, value in about.items():
            if name in self.about and self.about[name] != value:
                raise CommandError(
                    f'{self._path} has responses with {name} {_shown(self.about[name])}, and this '
                    f'run has {_shown(value)}; give another file with --output, or the same '
                    f'{name}.'
                )
        if about.keys() - self.about.keys():
            self.about = {**self.about, **about}
            self._write({RUN: FORMAT, **about})

    def add_response(self, key: str, **fields: Any) -> None:
        """Write what was answered to a question."""
        self._add({QUESTION: key, **fields})

    def add_not_asked(self, key: str, reason: str) -> None:
        """Write why a question could not be asked, unless the file says so already."""
        row = {QUESTION: key, 'not_asked': reason}
        if self.questions.get(key) != row:
            self._add(row)

    def add_video(self, path: str, **fields: Any) -> None:
        """Write the figures of a video."""
        self._add({VIDEO: path, **fields})

    def is_answered(self, key: str) -> bool:
        """Return whether there is a response to a question."""
        return 'response' in self.questions.get(key, {})

    def _add(self, row: dict[str, Any]) -> None:
        self._write(row)
        self._take(row, 2)

    def _write(self, row: dict[str, Any]) -> None:
        try:
            left = json.dumps(row, ensure_ascii=False).encode() + b'\n'
            while left:
                left = left[os.write(self._file.fileno(), left) :]
        except OSError as error:
            raise CommandError(f'{self._path} cannot be written: {error.strerror}.') from error

    def _take(self, row: dict[str, Any], number: int) -> None:
        if RUN in row:
            if row[RUN] != FORMAT:
                raise CommandError(
                    f'{self._path} is of format {row[RUN]}, and this version writes {FORMAT}; '
                    'give another file with --output.'
                )
            self.about.update(row)
        elif number > 1 and QUESTION in row:
            self.questions[str(row[QUESTION])] = row
        elif number > 1 and VIDEO in row:
            self.videos.append(row)
        else:
            self._refuse(number)

    def _refuse(self, number: int) -> NoReturn:
        raise CommandError(
            f'{self._path}, line {number} is not one of a file of responses; give another file '
            'with --output.'
        )


@contextlib.contextmanager
def open_responses(path: pathlib.Path) -> Iterator[ResponseFile]:
    """Open a file of responses to go on with it; it is made if it is not there.

    Raises:
        CommandError: it cannot be opened, is another file, or another run writes to it.

    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o644)
    except OSError as error:
        raise CommandError(f'{path} cannot be written: {error.strerror}.') from error
    with os.fdopen(descriptor, 'rb') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CommandError(
                f'Another run writes to {path}; wait for it, or give another file with --output.'
            ) from error
        responses = ResponseFile(path, file)
        os.ftruncate(descriptor, responses.whole_bytes)
        yield responses


def is_response_file(path: pathlib.Path) -> bool:
    """Return whether a file is one that a run has written."""
    try:
        with open(path, 'rb') as file:
            return file.read(len(_START)) == _START
    except OSError:
        return False


def read_responses(path: pathlib.Path) -> ResponseFile:
    """Read a file of responses and leave it as it is.

    Raises:
        CommandError: it cannot be read, or is another file.

    """
    try:
        with open(path, 'rb') as file:
            return ResponseFile(path, file)
    except OSError as error:
        raise CommandError(f'{path} cannot be read: {error.strerror}.') from error


def _row(line: bytes) -> dict[str, Any] | None:
    """Return a line's object; None: the line is damaged, or not whole."""
    if not line.endswith(b'\n'):
        return None
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
