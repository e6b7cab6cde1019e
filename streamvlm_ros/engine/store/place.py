# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where a file lies: a name in a folder that is held open.

Whatever happens to the path meanwhile (a folder renamed, a link put in its place), the file that
is checked, written and renamed lies in that one folder.  Nothing here follows a link in the last
place, or opens what could keep the opener waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
import dataclasses
import errno
import os
import pathlib
import stat


@dataclasses.dataclass(frozen=True)
class FilePlace:
    """A name in a folder.

    Attributes:
        folder: descriptor of the folder.
        name: the file's name in it.
        path: where that is, for people.

    """

    folder: int
    name: str
    path: pathlib.Path

    def open_regular(self) -> int:
        """Return a descriptor to read from.

        Raises:
            FileNotFoundError: nothing is there.
            OSError: EINVAL for what is not a regular file (a folder, device, pipe, socket or
                link); whatever else the system says.

        """
        # Looked at before: to open a device can have effects.
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


# A path, or what opens a place when its turn comes.
Where = str | os.PathLike[str] | Callable[[], AbstractContextManager[FilePlace]]


@contextmanager
def open_place(where: Where) -> Iterator[FilePlace]:
    """Hold the folder of a path open.

    Raises:
        OSError: it cannot be opened; EINVAL for what no file can be called.

    """
    if callable(where):
        with where() as place:
            yield place
        return
    path = pathlib.Path(os.path.abspath(where))
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except ValueError as error:  # a NUL, a lone surrogate
        raise OSError(errno.EINVAL, str(error)) from error
    try:
        yield FilePlace(folder, path.name, path)
    finally:
        os.close(folder)
