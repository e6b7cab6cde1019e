# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where a saved stream lies. No ROS here.

A bare name stays in the node's own folder, so that a request from anywhere in the graph does not
depend on where the node was started; an absolute path is taken at its word.
"""

from __future__ import annotations

import os
import pathlib

from streamvlm_ros.engine import ErrorCode, StreamError

SUFFIX = '.safetensors'


def stream_folder(folder: str, namespace: str) -> str:
    """Return the folder of one stream's files, which no other namespace has.

    Args:
        folder: the parameter `save_folder`.
        namespace: of the stream's node; at the root it is the folder itself.
    """
    return os.path.join(folder, *(part for part in namespace.split('/') if part))


def save_path(text: str, folder: str) -> pathlib.Path:
    """Return the absolute path of a saved stream.

    Args:
        text: as requested: relative to the folder, absolute, or with `~`.
        folder: of `stream_folder`.

    Raises:
        StreamError: INVALID_REQUEST for no path, or a relative one that leaves the folder.

    """
    if not text.strip() or '\0' in text:
        raise StreamError(ErrorCode.INVALID_REQUEST, 'The path is empty; name a file.')
    home = pathlib.Path(os.path.abspath(_expanded(folder)))
    path = pathlib.Path(os.path.abspath(home / _expanded(text)))
    relative = not os.path.isabs(_expanded(text))
    if path == home or (relative and home not in path.parents):
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            f'The path {text!r} is no file in {home}; give a name in that folder or an absolute '
            'path.',
        )
    return path if path.suffix else path.with_name(path.name + SUFFIX)


def make_save_folder(path: pathlib.Path, folder: str) -> None:
    """Make the node's own folder when a stream is to be saved in it; no other is made.

    Raises:
        StreamError: FILE_ERROR; it cannot be made.

    """
    home = pathlib.Path(os.path.abspath(_expanded(folder)))
    if path.parent != home:
        return
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StreamError(
            ErrorCode.FILE_ERROR,
            f'The folder {home} cannot be made ({error.strerror}); set save_folder to one that '
            'can.',
        ) from error


def _expanded(text: str) -> str:
    """Return the text with `~` as the user's home; where nobody knows that, as it is."""
    return os.path.expanduser(text)
