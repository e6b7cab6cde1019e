# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Writes a file of the store anew: to complete one that was cut off, or without some messages."""

from __future__ import annotations

from collections.abc import Callable
import os
import pathlib

from streamvlm_ros.store.bag_file import BagFile
from streamvlm_ros.store.messages import Topics
from streamvlm_ros.store.scan import Chunked, Scan

PART = '.part'  # ending of a file that is not complete yet


def rewrite(
    path: pathlib.Path, topics: Topics, keep: Callable[[Chunked], bool] = lambda chunk: True
) -> int:
    """Replace a file by a complete one; remove it if nothing is left in it.

    The old one stays until the new one is on the disk.

    Args:
        path: the file.
        topics: of its messages.
        keep: tells which chunks stay.

    Returns:
        How many chunks it has now.

    Raises:
        OSError: the disk is full or gone; the old file is as it was.
        StoreError: a newer program has written the file.

    """
    part = path.with_name(path.name + PART)
    part.unlink(missing_ok=True)
    new = BagFile(part, topics)
    kept = 0
    try:
        for chunk in Scan(path).chunks():
            if keep(chunk):
                new.write_chunk(chunk.contents, chunk.wall_ns, chunk.stamp_ns, chunk.epoch)
                kept += 1
        new.close()
        if kept:
            os.replace(part, path)
        else:
            part.unlink()
            path.unlink()
    except BaseException:
        new.abandon()
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return kept


def sync_folder(folder: pathlib.Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
