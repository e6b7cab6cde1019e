# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The path of a saved stream. No ROS here.

A name stays in the node's own folder: every process in the graph can send one. Links are resolved
before that is decided, and the folders on the way are then opened one in the other without
following links, so a link that is made in the meantime leads nowhere. The ending is always that of
a saved stream, so that no file can be written which something else would run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
import dataclasses
import os
import pathlib
from typing import NoReturn
import unicodedata

from streamvlm_ros.engine import ErrorCode, StreamError
from streamvlm_ros.engine.store.place import FilePlace

SUFFIX = '.safetensors'
LONGEST_NAME = 255  # bytes of a name, on Linux
LONGEST_PATH = 4095
# Control characters, lone surrogates, separators of lines and paragraphs.
BAD_CATEGORIES = ('Cc', 'Cs', 'Zl', 'Zp')


def stream_folder(folder: str, namespace: str) -> str:
    """Return the folder of one stream's files, which no other namespace has.

    Args:
        folder: the parameter `save_folder`.
        namespace: of the stream's node; at the root it is the folder itself.
    """
    return os.path.join(folder, *(part for part in namespace.split('/') if part))


def save_path(text: str, folder: str, anywhere: bool = False) -> pathlib.Path:
    """Return the absolute path of a saved stream, its links resolved.

    Args:
        text: as requested: a name in the folder, or in a folder in it.
        folder: of `stream_folder`.
        anywhere: take absolute paths and paths with `~` too.

    Raises:
        StreamError: INVALID_REQUEST for what no file can be called, for another ending than
            `.safetensors`, and for what is not in the folder.

    """
    path = _with_suffix(text)
    elsewhere = os.path.isabs(text) or text.startswith('~')
    if elsewhere and not anywhere:
        _refuse(
            text, 'is not a name in save_folder; give one, or start the node with allow_any_path'
        )
    if elsewhere:
        path = os.path.expanduser(path)
        if not os.path.isabs(path):
            _refuse(text, 'begins with ~, but there is no such user')
    home = os.path.realpath(os.path.expanduser(folder))
    found = pathlib.Path(os.path.realpath(os.path.join(home, path)))
    if not elsewhere and pathlib.Path(home) not in found.parents:
        _refuse(text, f'is not in {home}; give a name in that folder')
    if not found.name.endswith(SUFFIX):
        _refuse(text, f'is a link to a file without the ending {SUFFIX}')
    return found


@dataclasses.dataclass(frozen=True)
class SaveFolder:
    """The place of one stream's files.

    Attributes:
        folder: the parameter `save_folder`.
        namespace: of the stream's node.
        anywhere: the parameter `allow_any_path`.

    """

    folder: str
    namespace: str
    anywhere: bool = False

    def place(self, text: str, make: bool = False) -> AbstractContextManager[FilePlace]:
        """Return a context that holds a file's folder open; nothing is checked before entry.

        Args:
            text: as requested.
            make: make the stream's own folder if it does not exist; no other folder is made.

        Raises:
            StreamError: when entered, INVALID_REQUEST as `save_path`; FILE_ERROR for a folder
                that cannot be opened or made.

        """
        return self._place(text, make)

    @contextmanager
    def _place(self, text: str, make: bool) -> Iterator[FilePlace]:
        own = stream_folder(self.folder, self.namespace)
        try:
            path = save_path(text, own, self.anywhere)
            root = os.path.realpath(os.path.expanduser(self.folder))
            home = os.path.realpath(os.path.expanduser(own))
            inside = pathlib.Path(home) in path.parents
            if inside and not pathlib.Path(home).is_relative_to(root):
                _refuse(text, f'leads out of {root} by a link')
            if make and inside:
                _make(root, home)
            folder = _open_folder(root if inside else '/', path.parent)
        except (OSError, ValueError) as error:
            raise StreamError(
                ErrorCode.FILE_ERROR,
                f'The folder of {text[:80]!r} in {own} cannot be opened '
                f'({getattr(error, "strerror", None) or error}); give a name in a folder that '
                'exists, or start the node with a save_folder that can be written.',
            ) from error
        try:
            yield FilePlace(folder, path.name, path)
        finally:
            os.close(folder)


def _with_suffix(text: str) -> str:
    """Return a path that a file can have, with the ending of a saved stream."""
    if len(text) > LONGEST_PATH:
        _refuse(text, f'has {len(text)} characters; a path may have {LONGEST_PATH}')
    bad = next((c for c in text if unicodedata.category(c) in BAD_CATEGORIES), '')
    if bad:
        _refuse(text, f'has the character U+{ord(bad):04X}; leave it out')
    name = os.path.basename(text)
    if name.strip() in ('', '.', '..'):
        _refuse(text, 'does not name a file; give a name')
    suffix = os.path.splitext(name)[1]
    if suffix not in ('', SUFFIX):
        _refuse(text, f'has the ending {suffix[:20]}; give {SUFFIX} or no ending')
    path = text if suffix else text + SUFFIX
    longest = max(len(part.encode()) for part in path.split('/'))
    if longest > LONGEST_NAME or len(path.encode()) > LONGEST_PATH:
        _refuse(
            text,
            f'has a name of {longest} bytes; a name may have {LONGEST_NAME}, a path '
            f'{LONGEST_PATH}',
        )
    return path


def _make(root: str, home: str) -> None:
    """Make the stream's folder, for its owner alone."""
    os.makedirs(os.path.dirname(root), exist_ok=True)
    folder = pathlib.Path(root)
    for part in ('', *pathlib.Path(home).relative_to(root).parts):
        folder = folder / part
        folder.mkdir(0o700, exist_ok=True)


def _open_folder(root: str, folder: pathlib.Path) -> int:
    """Return a descriptor of a folder in another one; no link below that is followed."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(root, flags)
    for part in folder.relative_to(root).parts:
        outer = descriptor
        try:
            descriptor = os.open(part, flags, dir_fd=outer)
        finally:
            os.close(outer)
    return descriptor


def _refuse(text: str, why: str) -> NoReturn:
    raise StreamError(ErrorCode.INVALID_REQUEST, f'The path {text[:80]!r} {why}.')
