# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Shows on stderr how far a step is."""

from __future__ import annotations

import shutil
import sys
import time

_HEARTBEAT = 15.0  # seconds between two lines of one step where stderr is not a terminal


class Progress:
    """One line for each step; on a terminal it is rewritten in place while the step runs."""

    def __init__(self, number: int, total: int, title: str) -> None:
        """Begin with step `number` of `total`."""
        self._label = f'[{number}/{total}] {title}'
        self._detail = ''
        self._start = self._shown = time.monotonic()
        self._terminal = sys.stderr.isatty()
        if not self._terminal:
            self._write(f'{self._label} ...\n')

    def update(self, detail: str = '') -> None:
        """Show the elapsed time, and what is being done if that is new."""
        self._detail = detail or self._detail
        now = time.monotonic()
        if self._terminal:
            line = f'{self._label}  {now - self._start:3.0f} s  {self._detail}'
            width = shutil.get_terminal_size().columns - 1
            self._write(f'\r\033[K{line[:width]}')
        elif now - self._shown >= _HEARTBEAT:
            self._shown = now
            self._write(f'{self._label}  {now - self._start:3.0f} s  {self._detail}\n')

    def __enter__(self) -> Progress:
        """Return itself."""
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """End the line; after an error leave it as it is, so that the message stands below it."""
        seconds = time.monotonic() - self._start
        if error is None:
            clear = '\r\033[K' if self._terminal else ''
            self._write(f'{clear}{self._label}  done in {seconds:.0f} s\n')
        elif self._terminal:
            self._write('\n')

    @staticmethod
    def _write(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
