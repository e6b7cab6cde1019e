# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A stream's memory, written to a file: all that later answers depend on.

Saving changes nothing: frames that wait for their chunk to fill are written as they came, and are
not prefilled for it.  Only the owner of the stream copies it; any thread may write the copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import torch

from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.kvcache.allocation import available_bytes
from streamvlm_ros.engine.store.atomic_file import nothing
from streamvlm_ros.engine.store.entries import cache_entries, read_entries
from streamvlm_ros.engine.store.fields import parse_json, printable, UnfitError
from streamvlm_ros.engine.store.file import Entry, write_file
from streamvlm_ros.engine.store.place import open_place, Where
from streamvlm_ros.engine.stream.saving.about import (
    describe,
    read_about,
)
from streamvlm_ros.engine.stream.saving.bounds import SavedBounds
from streamvlm_ros.engine.stream.saving.checks import check_entries
from streamvlm_ros.engine.stream.stream import FrameStream


@dataclasses.dataclass(frozen=True)
class SavedStream:
    """What was saved or loaded.

    Attributes:
        path: of the file.
        frames: from the oldest to the newest that the stream holds.
        tokens: of its KV cache.
        bytes: of the file.
        epoch: number of the stream.
        next_ns: time of the next frame, where time is uniform.

    """

    path: pathlib.Path
    frames: int
    tokens: int
    bytes: int
    epoch: int
    next_ns: int


@dataclasses.dataclass(frozen=True)
class StreamCopy:
    """All of a stream that is written.

    Attributes:
        about: what is not a tensor.
        entries: the tensors.
        frames: that it holds.
        bounds: of the stream.

    """

    about: Mapping[str, Any]
    entries: Mapping[str, Entry]
    frames: int
    bounds: SavedBounds

    def held(self) -> StreamCopy:
        """Return it with a copy of all tensors in the host's memory.

        Raises:
            StreamError: OUT_OF_MEMORY; they do not fit.

        """
        size = sum(entry.nbytes for entry in self.entries.values())
        left = available_bytes(torch.device('cpu'))
        if left is not None and left < size:
            raise StreamError(
                ErrorCode.OUT_OF_MEMORY,
                f'The stream is copied before it is written; that takes {size} '
                f'bytes of memory, and {left} are free. Make room.',
            )
        entries = {name: entry.held() for name, entry in self.entries.items()}
        return dataclasses.replace(self, entries=entries)


def copy_stream(stream: FrameStream, next_ns: int, bounds: SavedBounds) -> StreamCopy:
    """Return what is to be written of a stream, which must not change until it is ``held``.

    Args:
        stream: what is saved.
        next_ns: its clock's time of the next frame, where time is uniform.
        bounds: of the stream.

    Raises:
        StreamError: NO_FRAMES; there is nothing to save.

    """
    if stream.newest is None:
        raise StreamError(
            ErrorCode.NO_FRAMES, 'No frame has come in yet: there is nothing to save.'
        )
    entries = cache_entries(stream.cache)
    for i, frame in enumerate(stream.pending):
        entries[f'pending.{i}'] = Entry.of(torch.from_numpy(np.ascontiguousarray(frame.image)))
    if stream.still.kept is not None:
        entries['still'] = Entry.of(stream.still.kept.cells)
    return StreamCopy(
        describe(stream, next_ns, bounds.fingerprint), entries, stream.frames_held, bounds
    )


def write_stream(
    where: Where,
    copy: StreamCopy,
    check: Callable[[], object] = nothing,
    commit: Callable[[], object] = nothing,
) -> SavedStream:
    """Write a stream to a file, in the place of an older one; see ``saved_file.write_file``.

    Only what could be read back is written.

    Args:
        where: the file.
        copy: what is written.
        check: called now and then; what it raises ends the writing.
        commit: called when all is written, right before the file takes its place.

    Raises:
        StreamError: FILE_ERROR; it cannot be written, or not be read back.

    """
    about = copy.about
    with (
        file_errors(where, 'written', 'make room, or choose another path'),
        open_place(where) as place,
    ):
        try:
            read = read_about(parse_json(json.dumps(about)), copy.bounds)
            check_entries(
                read_entries(
                    {
                        name: copy.entries[name].make()
                        for name in ('units', 'slots', 'ids', 'positions')
                    }
                ),
                read,
                copy.bounds,
            )
            size = write_file(place, about, copy.entries, check, commit)
        except UnfitError as error:
            raise StreamError(
                ErrorCode.FILE_ERROR, f'The stream cannot be saved: {error}; nothing was written.'
            ) from error
    return SavedStream(place.path, copy.frames, read.state.length, size, read.epoch, read.next_ns)


@contextmanager
def file_errors(where: Where, verb: str, advice: str) -> Iterator[None]:
    """Tell what the system says of a file as a sentence."""
    name = 'The file' if callable(where) else printable(str(where))
    try:
        yield
    except OSError as error:
        raise StreamError(
            ErrorCode.FILE_ERROR, f'{name} cannot be {verb} ({error.strerror}); {advice}.'
        ) from error
    except MemoryError as error:
        raise StreamError(
            ErrorCode.OUT_OF_MEMORY,
            f'{name} cannot be {verb}: there is too little memory in the host.',
        ) from error
