# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The file of a saved stream: safetensors, written as a whole or not at all, checked to the byte.

A safetensors file is the length of its header (8 bytes, little endian), the header (JSON: of every
tensor its type, shape and place; texts under ``__metadata__``) and the tensors' bytes.  The last
tensor of ours holds CRC-32s: of the header, and of every tensor before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
import dataclasses
import functools
import json
import math
import os
import pathlib
from typing import Any, NoReturn
import zlib

import torch

from streamvlm_ros.engine.atomic_file import replace_file, write_bytes
from streamvlm_ros.engine.errors import ErrorCode, StreamError

FORMAT = 'streamvlm_ros stream'
CHECKSUMS = 'crc32'
MAX_HEADER = 1 << 26  # bytes; a header of ours is far below
DTYPES = {'F32': torch.float32, 'BF16': torch.bfloat16, 'F16': torch.float16,
          'I64': torch.int64, 'U8': torch.uint8}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A tensor that is to be written: its type and shape, and who makes it when its turn comes.

    So that of a large stream no more than one tensor is held twice at a time.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    make: Callable[[], torch.Tensor]

    @classmethod
    def of(cls, tensor: torch.Tensor) -> Entry:
        """Return the entry of a tensor, or a view of one, that is there already."""
        return cls(tensor.dtype, tuple(tensor.shape), lambda: tensor)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in the file."""
        return math.prod(self.shape) * self.dtype.itemsize


def write_file(path: pathlib.Path, about: Mapping[str, Any],
               entries: Mapping[str, Entry]) -> int:
    """Write a file in the place of the one that is there, if any; see ``replace_file``.

    Args:
        path: the file.
        about: what is not a tensor; anything that JSON can hold.
        entries: the tensors, in the order of writing.

    Returns:
        The bytes of the file.

    Raises:
        StreamError: FILE_ERROR; the disk is full, the folder is not there, or a file lies there
            that is no saved stream.

    """
    try:
        _refuse_foreign(path)
        return replace_file(path, functools.partial(_write_all, about, entries))
    except OSError as error:
        raise StreamError(ErrorCode.FILE_ERROR,
                          f'{path} cannot be written ({error.strerror}); make room or choose '
                          'another path.') from error


def read_file(path: pathlib.Path) -> tuple[dict[str, Any], dict[str, torch.Tensor], int]:
    """Read a file back into the host's memory.

    Returns:
        What was given to ``write_file``: ``about``, and the tensors; and the file's bytes.

    Raises:
        StreamError: FILE_ERROR; there is no such file, or it is no saved stream, or damaged.

    """
    if path.exists() and not path.is_file():
        refuse(path, 'it is a folder or a device')
    try:
        with open(path, 'rb') as file:
            size = os.fstat(file.fileno()).st_size
            head = _header(path, file.read(8), file.read)
            places = _places(path, head, size)
            tensors, sums = {}, [zlib.crc32(head)]
            for name, (dtype, shape, nbytes) in places.items():
                data = bytearray(nbytes)
                if file.readinto(data) != nbytes:
                    refuse(path, 'it ends too early')
                sums.append(zlib.crc32(data))
                flat = (torch.frombuffer(data, dtype=dtype) if nbytes
                        else torch.empty(0, dtype=dtype))
                tensors[name] = flat.view(shape)
    except OSError as error:
        raise StreamError(ErrorCode.FILE_ERROR, f'{path} cannot be read ({error.strerror}); give '
                          'the path of a saved stream.') from error
    kept = tensors.pop(CHECKSUMS, None)
    if kept is None or kept.tolist() != sums[:-1]:
        refuse(path, 'its checksums are those of other bytes')
    about = json.loads(json.loads(head)['__metadata__']['stream'])
    return about, tensors, size


def _write_all(about: Mapping[str, Any], entries: Mapping[str, Entry], descriptor: int) -> int:
    checked = {**entries, CHECKSUMS: Entry(torch.int64, (len(entries) + 1,), torch.Tensor)}
    header: dict[str, Any] = {'__metadata__': {'format': FORMAT, 'stream': json.dumps(about)}}
    start = 0
    for name, entry in checked.items():
        header[name] = {'dtype': _NAMES[entry.dtype], 'shape': list(entry.shape),
                        'data_offsets': [start, start + entry.nbytes]}
        start += entry.nbytes
    head = json.dumps(header).encode()
    head += b' ' * (-len(head) % 8)
    write_bytes(descriptor, len(head).to_bytes(8, 'little') + head)
    sums = [zlib.crc32(head)]
    for entry in entries.values():
        data = _bytes_of(entry.make())
        sums.append(zlib.crc32(data))
        write_bytes(descriptor, data)
    write_bytes(descriptor, _bytes_of(torch.tensor(sums, dtype=torch.int64)))
    return 8 + len(head) + start


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    flat = tensor.detach().contiguous().cpu().view(-1)
    return flat.view(torch.uint8).numpy().data


def _header(path: pathlib.Path, length: bytes, read: Callable[[int], bytes]) -> bytes:
    """Return the header's bytes, when they are those of a saved stream."""
    size = int.from_bytes(length, 'little')
    if len(length) < 8 or size > MAX_HEADER:
        refuse(path, 'it has no safetensors header')
    head = read(size)
    if len(head) < size:
        refuse(path, 'it ends within its header')
    try:
        format_ = json.loads(head)['__metadata__']['format']
    except (ValueError, KeyError, TypeError):
        format_ = None
    if format_ != FORMAT:
        refuse(path, 'its header is not one that ~/save has written')
    return head


def _places(path: pathlib.Path, head: bytes, size: int,
            ) -> dict[str, tuple[torch.dtype, tuple[int, ...], int]]:
    """Return type, shape and bytes of every tensor, in the order of the file."""
    places = {}
    end = 0
    try:
        for name, place in json.loads(head).items():
            if name == '__metadata__':
                continue
            dtype, shape = DTYPES[place['dtype']], tuple(map(int, place['shape']))
            nbytes = math.prod(shape) * dtype.itemsize
            if min(shape, default=1) < 0 or place['data_offsets'] != [end, end + nbytes]:
                refuse(path, f'the place of {name} does not fit its shape')
            places[name] = (dtype, shape, nbytes)
            end += nbytes
    except (KeyError, TypeError, ValueError, AttributeError):
        refuse(path, 'its header is damaged')
    if 8 + len(head) + end != size:
        refuse(path, f'it has {size} bytes and not {8 + len(head) + end}')
    return places


def _refuse_foreign(path: pathlib.Path) -> None:
    """Refuse to overwrite what is no saved stream; an empty file may go."""
    if not path.exists():
        return
    if not path.is_file():
        raise StreamError(ErrorCode.FILE_ERROR,
                          f'{path} is a folder or a device; give the path of a file.')
    if not path.stat().st_size:
        return
    with open(path, 'rb') as file:
        try:
            _header(path, file.read(8), file.read)
        except StreamError:
            raise StreamError(ErrorCode.FILE_ERROR,
                              f'{path} is there already and is no saved stream; choose another '
                              'path, or remove it first.') from None


def refuse(path: pathlib.Path, why: str) -> NoReturn:
    """Refuse a file that cannot be read back.

    Raises:
        StreamError: FILE_ERROR, always.

    """
    raise StreamError(ErrorCode.FILE_ERROR,
                      f'{path} is damaged or no saved stream: {why}; the running stream is as it '
                      'was.')
