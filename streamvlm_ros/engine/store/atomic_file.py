# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Replaces a file as a whole or not at all, even if the process is killed or the power fails."""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import errno
import fcntl
import os
import pathlib
import secrets

from streamvlm_ros.engine.store.place import FilePlace

PIECE = 1 << 24  # bytes written at once
# Unfinished files. Their writer holds a lock on them, so one without a lock is a leftover.
START, END = '.streamvlm-', '.part'
TRIES = 8


def nothing() -> None:
    """Do nothing: the default of callbacks."""


def replace_file(
    place: FilePlace, write: Callable[[int], int], commit: Callable[[], object] = nothing
) -> int:
    """Write a file; replace the one of this name, if any.

    The bytes go to a file with a random name in the same folder, which only its owner may read.
    It is renamed when they are on the disk. If the process dies before that, the next call in
    this folder removes the file. Nothing here waits for another process.

    Args:
        place: the file.
        write: writes the bytes to a descriptor.
        commit: called when all is written, right before the renaming; if it raises, the old file
            stays.

    Returns:
        What ``write`` returned.

    Raises:
        OSError: it cannot be written; the old file is as it was.

    """
    _remove_leftovers(place.folder)
    name, descriptor = _new_file(place.folder)
    try:
        result = write(descriptor)
        os.fsync(descriptor)
        commit()
        os.rename(name, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=place.folder)
        raise
    finally:
        os.close(descriptor)
    os.fsync(place.folder)
    return result


def write_bytes(
    descriptor: int, data: bytes | memoryview, check: Callable[[], object] = nothing
) -> None:
    """Write all of the bytes, and call ``check`` before each piece."""
    view = memoryview(data)
    while view:
        check()
        view = view[os.write(descriptor, view[:PIECE]) :]


def _new_file(folder: int) -> tuple[str, int]:
    """Make a new file and lock it; return its name and a descriptor to write to."""
    for _ in range(TRIES):
        name = f'{START}{secrets.token_hex(8)}{END}'
        descriptor = os.open(
            name,
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o600,
            dir_fd=folder,
        )
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another process may have removed it as a leftover before it was locked.
        if os.access(name, os.F_OK, dir_fd=folder, follow_symlinks=False):
            return name, descriptor
        os.close(descriptor)
    raise OSError(errno.EBUSY, 'another process removes its new files')


def _remove_leftovers(folder: int) -> None:
    """Remove unfinished files of processes that died while they wrote in this folder."""
    for name in os.listdir(folder):
        if not (name.startswith(START) and name.endswith(END)):
            continue
        with contextlib.suppress(OSError):
            descriptor = FilePlace(folder, name, pathlib.Path(name)).open_regular()
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(name, dir_fd=folder)
            finally:
                os.close(descriptor)
