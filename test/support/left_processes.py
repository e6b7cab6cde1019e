# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Processes that a run of tests has left behind, found by a mark in their environment."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import time

MARK = 'STREAMVLM_TEST_RUN'
PATIENCE = 5.0  # seconds that a process may take to end by itself


def end_left_processes(mark: str, patience: float = PATIENCE) -> list[str]:
    """Kill the processes of a run that do not end by themselves; return their command lines.

    A process of the run has ``mark`` as the variable MARK, because what starts a process hands its
    environment down. The process that calls this is not one of them.
    """
    end = time.monotonic() + patience
    while (left := _processes_of(mark)) and time.monotonic() < end:
        time.sleep(0.1)
    for number in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    return list(left.values())


def _processes_of(mark: str) -> dict[int, str]:
    """Return the living processes of a run: their numbers, and their command lines."""
    variable, found = f'{MARK}={mark}'.encode(), {}
    for folder in pathlib.Path('/proc').glob('[0-9]*'):
        # A process that has ended meanwhile, or is another user's, cannot be read; one that has
        # ended and was not waited for yet has no environment.
        with contextlib.suppress(OSError):
            if variable in (folder / 'environ').read_bytes().split(b'\0'):
                command = (folder / 'cmdline').read_bytes().replace(b'\0', b' ')
                # Python's own helpers end with the process that has started them.
                if b' from multiprocessing.' not in command:
                    found[int(folder.name)] = command.decode(errors='replace').strip()
    found.pop(os.getpid(), None)
    return found
