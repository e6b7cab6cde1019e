# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A model's small files: found in a folder or the hub's cache, and read without trust."""

from __future__ import annotations

import json
import os
import pathlib
import re
from typing import Any

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

MAX_BYTES = 1 << 26  # of one of these files; Qwen's tokenizer.json has 11 MB
LFS = b'version https://git-lfs'
HUB_ID = re.compile(r'\w[\w.-]*/[\w.-]+')
READ_WHOLE = ('*.json', '*.jinja', '*.txt', 'additional_chat_templates/*')


def is_hub_id(name: str) -> bool:
    """Tell whether a name is that of a model on the hub, and not of a file or folder here."""
    return bool(HUB_ID.fullmatch(name)) and not os.path.exists(name)


def expand(path: str | os.PathLike[str]) -> str:
    """Return a model's folder: with ``~`` replaced by the home folder, or a hub id's in the cache.

    A hub id that is not in the cache is returned as it is. The hub itself is never asked.
    """
    name = os.path.expanduser(os.fspath(path))
    if not is_hub_id(name):
        return name
    try:
        found = try_to_load_from_cache(name, 'config.json')
    except HFValidationError:
        return name
    return os.path.dirname(found) if isinstance(found, str) else name


def find_file(path: str | os.PathLike[str], name: str) -> pathlib.Path | None:
    """Return where a file of a model lies on this machine; None where the model has none.

    Raises:
        FileNotFoundError: it is not on this machine.

    """
    folder = pathlib.Path(expand(path))
    if not folder.is_dir():
        raise FileNotFoundError(
            f'The model {path} is not on this machine; streamvlm pull {path} fetches it.'
        )
    return folder / name if (folder / name).is_file() else None


def check_sizes(path: str | os.PathLike[str]) -> None:
    """Refuse a folder with a file that transformers would read whole, and that is too large.

    Raises:
        ValueError: there is one.

    """
    folder = pathlib.Path(expand(path))
    for pattern in READ_WHOLE if folder.is_dir() else ():
        for file in folder.glob(pattern):
            if file.is_file() and file.stat().st_size > MAX_BYTES:
                raise ValueError(_too_large(file))


def read_json(path: str | os.PathLike[str], name: str) -> dict[str, Any]:
    """Return a JSON file of a model; {} where it has none.

    Raises:
        OSError: as ``find_file``; it cannot be read.
        ValueError: it is too large, or not one JSON object.

    """
    file = find_file(path, name)
    if file is None:
        return {}
    try:
        content = json.loads(read_text(file))
    except RecursionError as error:
        raise ValueError(f'{file} is nested too deeply to be read.') from error
    except json.JSONDecodeError as error:
        _refuse_stand_in(file)
        raise ValueError(f'{file} is not JSON: {error}.') from error
    if not isinstance(content, dict):
        raise ValueError(f'{file} holds a {type(content).__name__}, not a JSON object.')
    return content


def read_text(file: pathlib.Path) -> str:
    """Return a text file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large, or not UTF-8.

    """
    with open(file, 'rb') as opened:
        data = opened.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(_too_large(file))
    try:
        return data.decode('utf-8')
    except UnicodeDecodeError as error:
        raise ValueError(f'{file} is not UTF-8 text: {error}.') from error


def _refuse_stand_in(file: pathlib.Path) -> None:
    """Say what stands in the place of a file, where that is known.

    Raises:
        ValueError: it is empty, a pointer of Git LFS, or a web page.

    """
    with open(file, 'rb') as opened:
        start = opened.read(64).lstrip().lower()
    if not start:
        raise ValueError(f'{file} is empty; fetch it again.')
    if start.startswith(LFS):
        raise ValueError(f'{file} is the pointer of a file in Git LFS; run git lfs pull.')
    if start.startswith((b'<!doctype', b'<html')):
        raise ValueError(f'{file} is a web page and not the file itself; fetch it again.')


def _too_large(file: pathlib.Path) -> str:
    return f'{file} is larger than {MAX_BYTES} bytes, which no model needs.'
