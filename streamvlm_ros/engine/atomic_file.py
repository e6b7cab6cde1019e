# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A file that is replaced as a whole or not at all, whenever the process or the machine dies."""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import fcntl
import os
import pathlib

PIECE = 1 << 24  # bytes written at once


def replace_file(path: pathlib.Path, write: Callable[[int], int]) -> int:
    """Write a file in the place of the one that is there, if any.

    The bytes go to a temporary file in the same folder, which is renamed when they are on the
    disk.  One that a process has left behind when it died is removed by the next one.

    Args:
        path: the file.
        write: is given the descriptor to write to.

    Returns:
        What ``write`` returned.

    Raises:
        OSError: it cannot be written; the old file is as it was.

    """
    _remove_leftovers(path)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.part')
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        result = write(descriptor)
        os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    finally:
        os.close(descriptor)
    _sync_folder(path.parent)
    return result


def write_bytes(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of the bytes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view[:PIECE]):]


def _remove_leftovers(path: pathlib.Path) -> None:
    """Remove temporary files of processes that have died while they wrote this file."""
    start, end = f'.{path.name}.', '.part'
    for name in os.listdir(path.parent):
        if not (name.startswith(start) and name.endswith(end)):
            continue
        with contextlib.suppress(OSError), open(path.with_name(name), 'rb') as file:
            # Who still writes holds the lock.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path.with_name(name))


def _sync_folder(folder: pathlib.Path) -> None:
    """Put a renaming on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
