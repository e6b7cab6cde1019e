# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The place of a file: a name in a folder that is held open.

Even if a folder of the path is renamed or replaced by a link meanwhile, the file is checked,
written and renamed in that one folder. Nothing here follows a link in the last part of a path, or
opens something that could block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
import dataclasses
import errno
import os
import pathlib
import stat

from streamvlm_ros.engine.errors import ErrorCode, StreamError


@dataclasses.dataclass(frozen=True)
class FilePlace:
    """A name in a folder.

    Attributes:
        folder: descriptor of the folder.
        name: the file's name in it.
        path: the whole path, for messages.

    """

    folder: int
    name: str
    path: pathlib.Path

    def open_regular(self) -> int:
        """Return a descriptor to read from.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: EINVAL if it is not a regular file but a folder, device, pipe, socket or link;
                other errors of the system.

        """
        # Checked before opening, because opening a device can have effects.
        self._check_regular(os.stat(self.name, dir_fd=self.folder, follow_symlinks=False))
        descriptor = os.open(
            self.name,
            os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC,
            dir_fd=self.folder,
        )
        try:
            self._check_regular(os.fstat(descriptor))
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    @staticmethod
    def _check_regular(found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, 'it is a folder, a device, a pipe or a link')


# A path, or a function that opens a place when it is needed.
Where = str | os.PathLike[str] | Callable[[], AbstractContextManager[FilePlace]]


@contextmanager
def open_place(where: Where) -> Iterator[FilePlace]:
    """Hold the folder of a path open.

    Raises:
        OSError: it cannot be opened; EINVAL for an impossible file name.
        StreamError: INVALID_REQUEST; it is no path.

    """
    if callable(where):
        with where() as place:
            yield place
        return
    if not isinstance(where, (str, os.PathLike)) or isinstance(os.fspath(where), bytes):
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            f'The path of a file must be a text or a pathlib.Path, not {type(where).__name__}.',
        )
    path = pathlib.Path(os.path.abspath(where))
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except ValueError as error:  # a NUL, a lone surrogate
        raise OSError(errno.EINVAL, str(error)) from error
    try:
        yield FilePlace(folder, path.name, path)
    finally:
        os.close(folder)
