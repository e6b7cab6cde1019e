# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Shared memory that killed processes leave: Fast DDS takes 64 MiB for each process."""

from __future__ import annotations

import contextlib
import os
import pathlib

FOLDER = pathlib.Path('/dev/shm')
NAMES = ('fastrtps_*', 'fastdds_*', 'sem.fastrtps_*', 'sem.fastdds_*')


def remove_left_segments(since: float, folder: pathlib.Path = FOLDER) -> list[pathlib.Path]:
    """Remove the segments that were made after a moment and that no process uses.

    Args:
        since: in seconds of `time.time()`. Older segments are not the tests'.
        folder: where the segments are.

    Returns:
        What was removed.

    """
    made = [
        path
        for name in NAMES
        for path in folder.glob(name)
        if path.stat().st_mtime >= since and path.stat().st_uid == os.getuid()
    ]
    used = _used_files() if made else set()
    left = [path for path in made if str(path) not in used]
    for path in left:
        path.unlink(missing_ok=True)
    return left


def _used_files() -> set[str]:
    """Return the files that a process of this user has mapped or open.

    Segments and semaphores are mapped; the locks that say that an owner lives are open only.
    """
    files: set[str] = set()
    for process in pathlib.Path('/proc').glob('[0-9]*'):
        # A process that has ended meanwhile, or is another user's, cannot be read.
        with contextlib.suppress(OSError):
            # Address, permissions, offset, device, inode; then the path, if it is a file.
            parts = (
                line.split(maxsplit=5) for line in (process / 'maps').read_text().splitlines()
            )
            files.update(part[5] for part in parts if len(part) > 5)
        with contextlib.suppress(OSError):
            for descriptor in (process / 'fd').iterdir():
                with contextlib.suppress(OSError):
                    files.add(os.readlink(descriptor))
    return files
