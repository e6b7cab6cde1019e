# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Runs a command with its output in a log, its progress on stderr and its faults as sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
import pathlib
import queue
import re
import subprocess
import threading

from scripts.setup.errors import DISK_FULL, SetupError
from scripts.setup.paths import environment, LOGS, ROOT
from scripts.setup.progress import Progress

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


def run(
    command: Sequence[str],
    log_name: str,
    progress: Progress,
    describe: Callable[[str], str] = lambda line: '',
    distribution: str = '',
) -> None:
    """Run a command in the repository's root and wait for its end.

    `describe` turns a line of output into what the progress line is to show; '': no change.
    `distribution` is the one whose ROS wheels the command needs.
    Raises SetupError, naming the log, when the command fails.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f'{log_name}.log'
    with (
        log.open('w') as file,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(distribution),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
        ) as process,
    ):
        try:
            for line in _lines(process, progress):
                file.write(line)
                progress.update(describe(line))
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise SetupError(_sentence(log))


def _lines(process: subprocess.Popen[str], progress: Progress) -> Iterator[str]:
    """Yield the lines of a process's output; show the time while there are none."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=0.5)
        except queue.Empty:
            progress.update()
            continue
        if line is None:
            return
        yield line


def _sentence(log: pathlib.Path) -> str:
    output = log.read_text()
    where = f'(log: {log})'
    for pattern, sentence in _FAULTS:
        match = re.search(pattern, output)
        if match:
            return f'{sentence.format(*match.groups())} {where}'
    return f'the step "{log.stem}" failed; the end of its log says why {where}'
