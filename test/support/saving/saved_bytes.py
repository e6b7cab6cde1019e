# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A saved stream's file in parts that can be changed, apart from the engine's own reading."""

from __future__ import annotations

import json
import math
from typing import Any
import zlib

import numpy as np

# Names of the file's types, and how NumPy reads their bytes.
DTYPES = {'F32': '<f4', 'I64': '<i8', 'U8': 'u1', 'F16': '<f2', 'BF16': '<u2'}


class SavedBytes:
    """What a file is made of.

    Attributes:
        about: what is not a tensor.
        tensors: arrays by their names, in the order of the file, without the checksums.
        header: what is changed in the header at last: fields of a tensor by its name; None leaves
            the tensor out of it.
        text: what stands in the place of ``about``; None: its JSON.

    """

    def __init__(self, data: bytes) -> None:
        """Take a whole file apart."""
        end = 8 + int.from_bytes(data[:8], 'little')
        header = json.loads(data[8:end])
        self.about: Any = json.loads(header.pop('__metadata__')['stream'])
        self.tensors: dict[str, np.ndarray] = {}
        for name, place in header.items():
            start, stop = place['data_offsets']
            array = np.frombuffer(data[end + start : end + stop], DTYPES[place['dtype']])
            self.tensors[name] = array.reshape(place['shape']).copy()
        del self.tensors['crc32']
        self.header: dict[str, dict[str, Any] | None] = {}
        self.text: str | None = None

    def compose(self) -> bytes:
        """Return the file, with checksums of what it is now."""
        names = {np.dtype(kind): name for name, kind in DTYPES.items()}
        text = json.dumps(self.about) if self.text is None else self.text
        header: dict[str, Any] = {
            '__metadata__': {'format': 'streamvlm_ros stream', 'stream': text}
        }
        start, data = 0, []
        sums = len([name for name in self.tensors if self.header.get(name, {}) is not None]) + 1
        shapes = {name: (names[array.dtype], array.shape) for name, array in self.tensors.items()}
        for name, (kind, shape) in {**shapes, 'crc32': ('I64', (sums,))}.items():
            size = math.prod(shape) * np.dtype(DTYPES[kind]).itemsize
            fields = {'dtype': kind, 'shape': list(shape), 'data_offsets': [start, start + size]}
            start += size
            change = self.header.get(name, {})
            if change is not None:
                header[name] = fields | change
        head = json.dumps(header).encode()
        data = [array.tobytes() for array in self.tensors.values()]
        checked = np.array([zlib.crc32(each) for each in (head, *data)], '<i8')[:sums]
        return b''.join([len(head).to_bytes(8, 'little'), head, *data, checked.tobytes()])
