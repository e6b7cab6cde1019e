# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A saved stream, read from its file and checked, and put in the place of another one.

A loaded stream goes on as the saved one would have.  Any thread may read and check a file; only
the owner of a stream puts a loaded one in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import pathlib

import torch

from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.kvcache.entries import CacheEntry
from streamvlm_ros.engine.ops.attention import KeysValues
from streamvlm_ros.engine.store.atomic_file import nothing
from streamvlm_ros.engine.store.entries import COLUMNS, ID_COLUMNS, read_content, read_entries
from streamvlm_ros.engine.store.fields import integer, printable, UnfitError
from streamvlm_ros.engine.store.file import open_file, SavedFile
from streamvlm_ros.engine.store.place import open_place, Where
from streamvlm_ros.engine.stream.frames import Frame
from streamvlm_ros.engine.stream.saving.about import About, image_size, read_about, VERSION
from streamvlm_ros.engine.stream.saving.bounds import SavedBounds
from streamvlm_ros.engine.stream.saving.checks import check_entries
from streamvlm_ros.engine.stream.saving.fingerprint import differing
from streamvlm_ros.engine.stream.saving.saved_stream import file_errors, SavedStream
from streamvlm_ros.engine.stream.static_filter import Signature
from streamvlm_ros.engine.stream.stream import FrameStream

CHANNELS = 3


@dataclasses.dataclass(frozen=True)
class LoadedStream:
    """A stream from a file, checked, that no stream has taken over yet.

    Attributes:
        path: of the file.
        bytes: of the file.
        about: what is not a tensor.
        pending: frames that wait for their chunk to fill.
        kept: what new patches are compared with; None: nothing.
        entries: what is cached.
        content: keys and values of every layer, in the order of the entries.

    """

    path: pathlib.Path
    bytes: int
    about: About
    pending: Sequence[Frame]
    kept: Signature | None
    entries: Sequence[CacheEntry]
    content: Sequence[KeysValues]


def read_stream(
    where: Where, bounds: SavedBounds, check: Callable[[], object] = nothing
) -> LoadedStream:
    """Read a saved stream and check all of it.

    Args:
        where: the file.
        bounds: of the stream that is to take it over.
        check: called now and then; what it raises ends the reading.

    Raises:
        StreamError: FILE_ERROR; the file is not there, damaged, or of another model or with other
            settings.  OUT_OF_MEMORY; the cache or the memory is too small for it.

    """
    with (
        file_errors(where, 'read', 'give the path of a saved stream'),
        open_place(where) as place,
    ):
        try:
            with open_file(place, check) as file:
                return _read(place.path, file, bounds)
        except (UnfitError, RecursionError) as error:
            raise StreamError(
                ErrorCode.FILE_ERROR,
                f'{printable(str(place.path))} is damaged or no saved stream: '
                f'{error}; the running stream is as it was.',
            ) from error


def put_in_place(loaded: LoadedStream, stream: FrameStream) -> SavedStream:
    """Put a loaded stream in the place of what a stream holds.

    Its epoch is the saved one, unless that is the number of a stream that this one has been
    before.

    Raises:
        StreamError: the device fails; the stream is then empty, in an epoch of its own.

    """
    about = loaded.about
    following = stream.epoch + (stream.newest is not None)
    stream.clear()
    try:
        stream.cache.fill(loaded.content, loaded.entries)
    except BaseException:
        stream.clear()
        stream.epoch = following
        raise
    stream.state, stream.place, stream.pending = about.state, about.place, list(loaded.pending)
    stream.frames, stream.epoch = about.frames, max(about.epoch, following)
    stream.size, stream.left_out, stream.skipped_ns = about.size, about.left_out, about.skipped_ns
    stream.still.kept = loaded.kept
    waiting = {frame.number: frame for frame in loaded.pending}
    for name, frame in about.landmarks.items():
        setattr(stream, name, frame and waiting.get(frame.number, frame))
    for name, number in about.counters.items():
        setattr(stream.memory, name, number)
    # It may have been saved while an open answer kept it from doing so.
    stream.keep_in_range()
    return SavedStream(
        loaded.path,
        stream.frames_held,
        stream.cache.length,
        loaded.bytes,
        stream.epoch,
        about.next_ns,
    )


def _read(path: pathlib.Path, file: SavedFile, bounds: SavedBounds) -> LoadedStream:
    said = file.about if type(file.about) is dict else {}
    version = integer(said.get('version'), 'its version')
    if version != VERSION:
        raise UnfitError(f'it has version {version} and not {VERSION}; save the stream anew')
    difference = differing(bounds.fingerprint, said.get('fingerprint'))
    if difference:
        raise StreamError(
            ErrorCode.FILE_ERROR,
            f'{path} is of another model or has other settings: {difference}; the '
            'running stream is as it was.',
        )
    about = read_about(said, bounds)
    _check_room(path, about, bounds)
    _check_shapes(file.shapes, about, bounds)
    tensors = file.tensors()
    entries = read_entries(tensors)
    check_entries(entries, about, bounds)
    pending = [
        dataclasses.replace(frame, image=tensors[f'pending.{i}'].numpy())
        for i, frame in enumerate(about.pending)
    ]
    if pending:
        _check_waiting(path, pending, bounds)
    kept = None if about.still is None else Signature(*about.still, tensors['still'])
    return LoadedStream(
        path, file.size, about, pending, kept, entries, read_content(tensors, bounds.layers)
    )


def _check_room(path: pathlib.Path, about: About, bounds: SavedBounds) -> None:
    if about.state.length > bounds.limit:
        raise StreamError(
            ErrorCode.OUT_OF_MEMORY,
            f'{path} has {about.state.length} tokens, the KV cache keeps at most '
            f'{bounds.limit}; set memory_tokens to {about.state.length} or more.',
        )


def _check_shapes(
    shapes: Mapping[str, tuple[torch.dtype, tuple[int, ...]]], about: About, bounds: SavedBounds
) -> None:
    """Refuse tensors that are not what the description says, before one of them is read.

    Raises:
        UnfitError: one is missing, too many, or of another type or shape.

    """
    tokens, numbers = about.state.length, torch.int64
    wanted: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {'positions': (numbers, (3, tokens))}
    for name, columns in (('units', COLUMNS), ('slots', 3), ('ids', ID_COLUMNS)):
        # As many as there are, but no more than tokens.
        rows = shapes[name][1][0] if name in shapes and shapes[name][1] else 0
        wanted[name] = (numbers, (min(rows, tokens), columns))
    for layer in range(bounds.layers):
        for name in ('keys', 'values'):
            wanted[f'{name}.{layer}'] = (bounds.dtype, (bounds.heads, tokens, bounds.width))
    waiting = shapes.get('pending.0', (torch.uint8, (0, 0, 0)))[1]
    for i in range(len(about.pending)):
        wanted[f'pending.{i}'] = (torch.uint8, waiting)
    if about.pending:
        if waiting[2:] != (CHANNELS,):
            raise UnfitError('a waiting frame is not an image')
        image_size(list(waiting[:2]), bounds)
    if about.still is not None:
        cell = bounds.pixels.patch_size // 2
        height, width = bounds.pixels.resized(*about.still[1])
        wanted['still'] = (
            torch.float32,
            (bounds.pixels.temporal_patch_size, CHANNELS, height // cell, width // cell),
        )
    if shapes.keys() != wanted.keys():
        raise UnfitError('its tensors are not those of a stream')
    for name, (dtype, shape) in wanted.items():
        if shapes[name] != (dtype, shape):
            raise UnfitError(
                f'{name} is {shapes[name][0]} {list(shapes[name][1])!s:.60} and not '
                f'{dtype} {list(shape)}'
            )


def _check_waiting(path: pathlib.Path, pending: Sequence[Frame], bounds: SavedBounds) -> None:
    """Refuse frames whose chunk could never be prefilled."""
    tokens = bounds.chunk_tokens(pending[0].size, len(pending))
    if tokens > bounds.limit:
        raise StreamError(
            ErrorCode.OUT_OF_MEMORY,
            f'{path} has frames that wait and take {tokens} tokens, the KV cache '
            f'keeps at most {bounds.limit}; set memory_tokens to {tokens} or more.',
        )
