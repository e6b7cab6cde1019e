# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and SIGTERM in a command: it ends at once, or at a point where it can clean up.

Python raises KeyboardInterrupt wherever the main thread is: in the midst of an import, of rclpy's
wait set, of a destructor. That ends in a traceback from inside rclpy. Here the process ends
without a word instead; where something is to be undone first (`deferred`), the signal is noted,
and `check` raises between two steps.

Only a program's entry point calls `install`. In other programs the signals stay theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import ctypes
import os
import signal
from types import FrameType

PARENT = 'STREAMVLM_PARENT'  # variable with the process id of the launch
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
_DEATH = 128  # a shell's exit code of a process that a signal has ended, less the signal's number


class _State:
    """Of the process: whether signals only leave a note, and which one has come."""

    depth = 0
    has_come = False
    number: int = signal.SIGINT  # of the one that came last


def install() -> None:
    """Take SIGINT and SIGTERM, as early in the process as can be."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _take)
    end_with_parent()


def end_with_parent() -> None:
    """Be told to end, as by Ctrl-C, when the process that started this one ends.

    Only where that one asks for it (`PARENT`): `ros2 launch` leaves its processes alone when it
    gets SIGTERM, or is killed.
    """
    parent = os.environ.get(PARENT, '')
    if not parent:
        return
    with contextlib.suppress(OSError, AttributeError):  # Linux has it
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGINT)
    if os.getppid() == 1 and parent != '1':
        os.kill(os.getpid(), signal.SIGINT)  # it has ended already


def check() -> None:
    """Raise KeyboardInterrupt if a signal has come; each one raises once."""
    if _State.has_come:
        _State.has_come = False
        raise KeyboardInterrupt


def exit_code() -> int:
    """Return what a process ends with that a signal has ended: as a shell tells it."""
    return _DEATH + _State.number


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Let signals wait for `check` while this block runs, at the latest for its end."""
    _State.depth += 1
    try:
        yield
        check()
    finally:
        _State.depth -= 1


def _take(number: int, frame: FrameType | None) -> None:
    _State.number = number
    if _State.depth:
        _State.has_come = True
    else:
        os._exit(exit_code())
