# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Runs a command with its output in a log, its progress on stderr and its faults as sentences."""

from __future__ import annotations

from collections.abc import Sequence
import pathlib
import re
import shutil
import subprocess
import sys
import time
from typing import BinaryIO

from scripts.setup.checks import DISK_FULL, SetupError
from scripts.setup.paths import environment, LOGS, ROOT

_TERMINAL = sys.stderr.isatty()
_INTERVAL = 1.0 if _TERMINAL else 15.0  # seconds between two reports on a command that runs
_FAULTS = (
    (r'No space left on device', DISK_FULL),
    (
        r'name resolution|NewConnectionError|ConnectTimeout|ProxyError|Read timed out|SSLError',
        'pip cannot reach its package index: check the network and the proxy settings',
    ),
    (
        r'No matching distribution found for (\S+)',
        'pip finds no {0} for this Python: set PYTHON=... to another one of 3.10 to 3.13',
    ),
    (r'fatal error: Python\.h', 'the headers of Python are missing: install python3-dev'),
)


def run(title: str, command: Sequence[str], log_name: str, distribution: str = '') -> None:
    """Run a command in the repository's root and wait for its end.

    Until then the newest line of its log is shown: pip and colcon say there what they do.

    Args:
        title: what the step is called on stderr.
        command: a program and its arguments.
        log_name: where in LOGS its output goes.
        distribution: the one whose ROS wheels the command needs; '': none.

    Raises:
        SetupError: the command has failed; names the log.

    """
    start = time.monotonic()
    log = LOGS / f'{log_name}.log'
    _show(title)
    try:
        with log.open('wb') as file:
            code = _wait(_start(command, file, distribution), log, title, start)
        if code:
            raise SetupError(_sentence(log))
    except BaseException:
        if _TERMINAL:  # what is said of it begins on a line of its own
            print(file=sys.stderr)
        raise
    _show(f'{title}  done in {time.monotonic() - start:.0f} s', '\n')


def _start(command: Sequence[str], log: BinaryIO, distribution: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(distribution),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )


def _wait(process: subprocess.Popen[bytes], log: pathlib.Path, title: str, start: float) -> int:
    """Return the exit code of a command; show how far it is in the meantime."""
    with process:
        while True:
            try:
                return process.wait(_INTERVAL)
            except subprocess.TimeoutExpired:
                seconds = time.monotonic() - start
                _show(f'{title}  {seconds:.0f} s  {_newest_line(log)}')
            except BaseException:
                process.terminate()
                raise


def _show(line: str, end: str = '') -> None:
    """Show a line on stderr; on a terminal it takes the place of the one before."""
    if _TERMINAL:
        width = shutil.get_terminal_size().columns - 1
        print(f'\r\033[K{line[:width]}', end=end, file=sys.stderr, flush=True)
    else:
        print(line, file=sys.stderr, flush=True)


def _newest_line(log: pathlib.Path) -> str:
    """Return the last line of a log that has ended; '' if there is none."""
    lines = _read(log).rpartition('\n')[0].splitlines()
    return lines[-1].strip() if lines else ''


def _read(log: pathlib.Path) -> str:
    return log.read_text(errors='replace')


def _sentence(log: pathlib.Path) -> str:
    """Return what went wrong, and where the log is."""
    output = _read(log)
    where = f'(log: {log})'
    for pattern, sentence in _FAULTS:
        match = re.search(pattern, output)
        if match:
            return f'{sentence.format(*match.groups())} {where}'
    return f'the step "{log.stem}" failed; the end of its log says why {where}'
