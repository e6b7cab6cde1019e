# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Files that are put into the save folder for a node to trip over, and names to ask for."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random

GOOD = ('kitchen', 'hall', 'yard.safetensors')
# None of these is a file in the folder; {outside} is a path next to it.
HOSTILE_NAMES = (
    '', ' ', '.', '..', '../outside', '/etc/passwd', '{outside}', '{outside}.safetensors',
    'a/../../outside', './../../outside', 'x.pth', 'x.py', 'n' * 5000, 'a' * 256,
    'kitchen.safetensors/x', 'folder.safetensors/../../outside',
)  # fmt: skip
STRANGE_NAMES = (
    '.bashrc', 'new\nline', '\x1b[31m', '~', 'ünïcode', ' kitchen ', 'hall.safetensors ',
)  # fmt: skip
HOSTILE_FILES = (
    'empty',
    'zeros',
    'cut',
    'flipped',
    'header',
    'deep',
    'giant',
    'pipe',
    'link',
    'folder',
    'device',
    'text',
)


def put_hostile(rng: random.Random, folder: pathlib.Path) -> str:
    """Make a file that must not load; return its name for `~/load`."""
    kind = rng.choice(HOSTILE_FILES)
    file = folder / f'{kind}.safetensors'
    good = [
        path
        for name in GOOD
        if (path := folder / f'{name.removesuffix(".safetensors")}.safetensors').is_file()
    ]
    data = b''
    with contextlib.suppress(FileNotFoundError):  # another save may just replace it
        data = rng.choice(good).read_bytes() if good else b''
    _remove(file)
    if kind == 'pipe':
        os.mkfifo(file)
        # Beside the target too, named as leftovers of a write are.
        with contextlib.suppress(FileExistsError):
            os.mkfifo(folder / '.kitchen.safetensors.1.part')
    elif kind == 'link':
        file.symlink_to('/etc/passwd')
    elif kind == 'device':
        file.symlink_to('/dev/zero')
    elif kind == 'folder':
        file.mkdir()
    elif kind == 'giant':
        with open(file, 'wb') as opened:
            opened.write((1 << 40).to_bytes(8, 'little'))
            opened.truncate(1 << 40)
    else:
        file.write_bytes(_damaged(rng, kind, data))
    return kind


def _damaged(rng: random.Random, kind: str, data: bytes) -> bytes:
    if kind == 'empty':
        return b''
    if kind == 'text':
        return b'Not a stream.\n' * 100
    if kind == 'deep':
        header = b'{"a":' + b'[' * 50_000 + b']' * 50_000 + b'}'
        return len(header).to_bytes(8, 'little') + header
    if kind == 'header':
        return rng.choice((2**63, 2**64 - 1, 10**8, 1)).to_bytes(8, 'little') + data[8:]
    if len(data) < 100 or kind == 'zeros':
        return bytes(5000)
    if kind == 'cut':
        return data[: rng.randrange(len(data) - 1)]
    changed = bytearray(data)
    for _ in range(rng.choice((1, 3, 50))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return b'\0' * 8 if changed == data else bytes(changed)


def _remove(file: pathlib.Path) -> None:
    if file.is_dir() and not file.is_symlink():
        file.rmdir()
    else:
        file.unlink(missing_ok=True)
