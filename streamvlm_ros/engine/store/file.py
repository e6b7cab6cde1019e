# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The file of a saved stream: safetensors, written as a whole or not at all, every byte checked.

A safetensors file is the length of its header (8 bytes, little endian), the header (JSON: type,
shape and place of every tensor; texts under ``__metadata__``) and the tensors' bytes. Our last
tensor holds CRC-32s: of the header, and of every tensor before it.

Reading takes no more memory than the file has bytes. Nothing is mapped, so if a file is cut while
it is read, that is an ordinary error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
import dataclasses
import functools
import json
import math
import os
from typing import Any
import zlib

import numpy as np
import torch

from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.store.atomic_file import nothing, PIECE, replace_file, write_bytes
from streamvlm_ros.engine.store.fields import integer, items, parse_json, record, UnfitError
from streamvlm_ros.engine.store.place import FilePlace

FORMAT = 'streamvlm_ros stream'
CHECKSUMS = 'crc32'
MAX_HEADER = 1 << 20  # bytes; real headers are far smaller
DTYPES = {
    'F32': torch.float32,
    'BF16': torch.bfloat16,
    'F16': torch.float16,
    'I64': torch.int64,
    'U8': torch.uint8,
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
# The bits of a number's exponent; only NaN and the infinities have all of them set.
_EXPONENTS = {
    torch.float32: (np.uint32, 0x7F800000),
    torch.bfloat16: (np.uint16, 0x7F80),
    torch.float16: (np.uint16, 0x7C00),
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A tensor that is to be written: its type, its shape, and a function that makes it.

    It is made when it is written, so only one tensor of a large stream is held twice at a time.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    make: Callable[[], torch.Tensor]

    @classmethod
    def of(cls, tensor: torch.Tensor) -> Entry:
        """Return the entry of a tensor, or of a view, that exists already."""
        return cls(tensor.dtype, tuple(tensor.shape), lambda: tensor)

    @property
    def nbytes(self) -> int:
        """Its bytes in the file."""
        return math.prod(self.shape) * self.dtype.itemsize

    def held(self) -> Entry:
        """Make the tensor now, in the host's memory."""
        return Entry.of(self.make().detach().cpu())


def write_file(
    place: FilePlace,
    about: Mapping[str, Any],
    entries: Mapping[str, Entry],
    check: Callable[[], object] = nothing,
    commit: Callable[[], object] = nothing,
) -> int:
    """Write a file; replace the one of this name, if any; see ``replace_file``.

    Args:
        place: the file.
        about: everything that is not a tensor, as JSON can hold it.
        entries: the tensors, in the order of writing.
        check: called before each piece; raises to end the writing.
        commit: see ``replace_file``.

    Returns:
        The bytes of the file.

    Raises:
        OSError: it cannot be written; nothing has changed.
        StreamError: FILE_ERROR: the file exists and is not a saved stream.
        UnfitError: a number is not finite, or the header gets too long.

    """
    _refuse_foreign(place)
    head, size = _header_for(about, entries)
    space = os.fstatvfs(place.folder)
    if space.f_blocks and space.f_bavail * space.f_frsize < size:
        raise StreamError(
            ErrorCode.FILE_ERROR,
            f'{place.path} cannot be written: it takes {size} bytes, and '
            f'{space.f_bavail * space.f_frsize} are free; make room.',
        )
    return replace_file(place, functools.partial(_write_all, head, entries, check), commit)


class SavedFile:
    """A saved stream that is being read: first its header, then its tensors.

    Attributes:
        about: as given to ``write_file``, after JSON; its bytes were checked.
        shapes: type and shape of every tensor.
        size: bytes of the file.

    """

    def __init__(self, descriptor: int, check: Callable[[], object] = nothing) -> None:
        """Read the header and its checksum.

        Raises:
            UnfitError: it is not a saved stream, or damaged.
            OSError: it cannot be read.

        """
        self._descriptor, self._check = descriptor, check
        self.size = os.fstat(descriptor).st_size
        head = read_header(self._bytes, self.size)
        self._places, about = _parse_header(head, self.size)
        self.shapes = {
            name: (place.dtype, place.shape)
            for name, place in self._places.items()
            if name != CHECKSUMS
        }
        self._sums = self._tensor(CHECKSUMS)[0].tolist()
        self._check_sum(0, zlib.crc32(head))
        self.about = parse_json(about)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Read all tensors into the host's memory.

        Raises:
            UnfitError: the file is damaged, or a number is not finite.
            OSError: it cannot be read.
            MemoryError: there is not enough memory.

        """
        tensors = {}
        for index, name in enumerate(self.shapes):
            tensors[name], crc = self._tensor(name)
            self._check_sum(index + 1, crc)
            check_finite(name, tensors[name])
        return tensors

    def _tensor(self, name: str) -> tuple[torch.Tensor, int]:
        """Return a tensor and the CRC-32 of its bytes."""
        place = self._places[name]
        try:
            tensor = torch.empty(place.shape, dtype=place.dtype)
        except RuntimeError as error:
            raise MemoryError from error
        data, crc, start = bytes_of(tensor), 0, place.start
        while data:
            self._check()
            number = os.preadv(self._descriptor, [data[:PIECE]], start)
            if not number:
                raise UnfitError('it ends too early')
            crc = zlib.crc32(data[:number], crc)
            data, start = data[number:], start + number
        return tensor, crc

    def _bytes(self, start: int, number: int) -> bytes:
        return os.pread(self._descriptor, number, start)

    def _check_sum(self, index: int, crc: int) -> None:
        if self._sums[index] != crc:
            raise UnfitError('its checksums do not fit its bytes')


@contextmanager
def open_file(place: FilePlace, check: Callable[[], object] = nothing) -> Iterator[SavedFile]:
    """Open a saved stream to read it; raises as ``SavedFile``."""
    descriptor = place.open_regular()
    try:
        yield SavedFile(descriptor, check)
    finally:
        os.close(descriptor)


def read_header(read: Callable[[int, int], bytes], size: int) -> bytes:
    """Return the bytes of a saved stream's header.

    Args:
        read: returns bytes of the file, given a start and a number; fewer at the end.
        size: bytes of the file.

    Raises:
        UnfitError: it is not the header of a saved stream.

    """
    length = read(0, 8)
    number = int.from_bytes(length, 'little')
    if len(length) < 8 or number > MAX_HEADER:
        raise UnfitError('it has no safetensors header of ours')
    head = read(8, number) if number <= size - 8 else b''
    if len(head) < number or not head:
        raise UnfitError('it ends within its header')
    try:
        ours = parse_json(head)['__metadata__']['format'] == FORMAT
    except (UnfitError, LookupError, TypeError):
        ours = False
    if not ours:
        raise UnfitError('its header is not one that ~/save has written')
    return head


def bytes_of(tensor: torch.Tensor) -> memoryview:
    """Return the bytes of a tensor in the host's memory; copied only if it is not contiguous."""
    return tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().data


def check_finite(name: str, tensor: torch.Tensor) -> None:
    """Refuse NaN and infinities.

    Raises:
        UnfitError: there is one.

    """
    if tensor.dtype not in _EXPONENTS:
        return
    kind, exponent = _EXPONENTS[tensor.dtype]
    data = bytes_of(tensor)
    # The bits, piece by piece: PyTorch would use other threads and more memory.
    for start in range(0, len(data), PIECE):
        bits = np.frombuffer(data[start : start + PIECE], kind)
        if ((bits & exponent) == exponent).any():
            raise UnfitError(f'{name} has numbers that are not finite')


@dataclasses.dataclass(frozen=True)
class _Place:
    """The place of a tensor in the file."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int


def _parse_header(head: bytes, size: int) -> tuple[dict[str, _Place], str]:
    """Return the places of all tensors in the order of the file, and the text about the stream."""
    header = parse_json(head)
    _, about = record(header.pop('__metadata__'), 'its header', ('format', 'stream'))
    if type(about) is not str:
        raise UnfitError('its header is damaged')
    places, end = {}, 8 + len(head)
    for name, fields in header.items():
        kind, shape, offsets = record(fields, 'a tensor', ('dtype', 'shape', 'data_offsets'))
        if type(kind) is not str or kind not in DTYPES:
            raise UnfitError('a tensor has a type that no stream has')
        sides = tuple(integer(side, 'a side of a tensor') for side in items(shape, 'a shape'))
        start, end = end, end + math.prod(sides) * DTYPES[kind].itemsize
        said = [
            8 + len(head) + integer(offset, 'an offset')
            for offset in items(offsets, 'the place of a tensor', 2)
        ]
        if said != [start, end] or end > size:
            raise UnfitError('the place of a tensor does not fit its shape')
        places[name] = _Place(DTYPES[kind], sides, start)
    if end != size:
        raise UnfitError(f'it has {size} bytes and not {end}')
    last = next(reversed(places), None)
    if last != CHECKSUMS or (places[last].dtype, places[last].shape) != (
        torch.int64,
        (len(places),),
    ):
        raise UnfitError('it has no checksums')
    return places, about


def _header_for(about: Mapping[str, Any], entries: Mapping[str, Entry]) -> tuple[bytes, int]:
    """Return the start of the file, up to the first tensor, and the size of the whole file."""
    checked = {**entries, CHECKSUMS: Entry(torch.int64, (len(entries) + 1,), torch.Tensor)}
    header: dict[str, Any] = {'__metadata__': {'format': FORMAT, 'stream': json.dumps(about)}}
    start = 0
    for name, entry in checked.items():
        header[name] = {
            'dtype': _NAMES[entry.dtype],
            'shape': list(entry.shape),
            'data_offsets': [start, start + entry.nbytes],
        }
        start += entry.nbytes
    head = json.dumps(header).encode()
    head += b' ' * (-len(head) % 8)
    if len(head) > MAX_HEADER:
        raise UnfitError(f'its header has {len(head)} bytes, but may have {MAX_HEADER}')
    return len(head).to_bytes(8, 'little') + head, 8 + len(head) + start


def _write_all(
    head: bytes, entries: Mapping[str, Entry], check: Callable[[], object], descriptor: int
) -> int:
    write_bytes(descriptor, head, check)
    written, sums = len(head), [zlib.crc32(head[8:])]
    for name, entry in entries.items():
        tensor = entry.held().make()
        check_finite(name, tensor)
        data = bytes_of(tensor)
        sums.append(zlib.crc32(data))
        write_bytes(descriptor, data, check)
        written += len(data)
    data = bytes_of(torch.tensor(sums, dtype=torch.int64))
    write_bytes(descriptor, data, check)
    return written + len(data)


def _refuse_foreign(place: FilePlace) -> None:
    """Refuse to overwrite anything but a saved stream or an empty file."""
    try:
        descriptor = place.open_regular()
    except FileNotFoundError:
        return
    try:
        size = os.fstat(descriptor).st_size
        if size:
            read_header(lambda start, number: os.pread(descriptor, number, start), size)
    except UnfitError:
        raise StreamError(
            ErrorCode.FILE_ERROR,
            f'{place.path} exists already and is not a saved stream; choose another '
            'path, or remove it first.',
        ) from None
    finally:
        os.close(descriptor)
