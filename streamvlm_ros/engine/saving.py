# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A stream's memory, to a file and back: all that later answers depend on.

Saving changes nothing: frames that wait for their chunk to fill are written as they came, and not
prefilled for the occasion.  A loaded stream goes on as the saved one would have.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import pathlib
from typing import Any

import numpy as np
import torch

from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.fingerprint import differing
from streamvlm_ros.engine.frames import Frame
from streamvlm_ros.engine.positions import Segment, StreamState
from streamvlm_ros.engine.prompt import Place
from streamvlm_ros.engine.saved_file import Entry, read_file, refuse, write_file
from streamvlm_ros.engine.saved_units import cache_entries, read_content, read_units
from streamvlm_ros.engine.still import Signature
from streamvlm_ros.engine.stream import FrameStream

VERSION = 1
# Frames of which only the stamps matter any more.
LANDMARKS = ('newest', 'seen', 'paired')
COUNTERS = ('segment', 'turn', 'evicted_tokens')
NO_IMAGE = np.empty((0, 0, 3), np.uint8)


@dataclasses.dataclass(frozen=True)
class SavedStream:
    """What was saved or loaded.

    Attributes:
        path: where it lies.
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


def save_stream(path: pathlib.Path, stream: FrameStream, next_ns: int,
                fingerprint: Mapping[str, Any]) -> SavedStream:
    """Write a stream to a file, in the place of an older one; see ``saved_file.write_file``.

    Args:
        path: the file.
        stream: what is saved; it is not changed.
        next_ns: its clock's time of the next frame, where time is uniform.
        fingerprint: what it can be continued with.

    Raises:
        StreamError: NO_FRAMES; there is nothing to save.  FILE_ERROR; it cannot be written.

    """
    if stream.newest is None:
        raise StreamError(ErrorCode.NO_FRAMES,
                          'No frame has come in yet: there is nothing to save.')
    kept = stream.still.kept
    about = {
        'version': VERSION, 'fingerprint': dict(fingerprint), 'epoch': stream.epoch,
        'next_ns': next_ns, 'frames': stream.frames, 'place': stream.place.name,
        'state': dataclasses.asdict(stream.state), 'size': stream.size,
        'left_out': stream.left_out, 'skipped_ns': stream.skipped_ns,
        'memory': {name: getattr(stream.memory, name) for name in COUNTERS},
        'pending': [_stamps(frame) for frame in stream.pending],
        'landmarks': {name: _stamps(getattr(stream, name)) for name in LANDMARKS},
        'still': [kept.time_ns, *kept.size] if kept else None}
    entries = cache_entries(stream.cache)
    for i, frame in enumerate(stream.pending):
        entries[f'pending.{i}'] = Entry.of(torch.from_numpy(np.ascontiguousarray(frame.image)))
    if kept is not None:
        entries['still'] = Entry.of(kept.cells)
    size = write_file(path, about, entries)
    return SavedStream(path, stream.frames_held, stream.cache.length, size, stream.epoch, next_ns)


def load_stream(path: pathlib.Path, stream: FrameStream,
                fingerprint: Mapping[str, Any]) -> SavedStream:
    """Put a saved stream in the place of what a stream holds.

    All of the file is read and checked before anything of the stream is touched.  Its epoch is
    the saved one, unless that is the number of a stream that this one has been before.

    Raises:
        StreamError: FILE_ERROR; the file is not there, damaged, or of another model or with other
            settings.  OUT_OF_MEMORY; the cache is too small for it.

    """
    about, tensors, nbytes = read_file(path)
    if about.get('version') != VERSION:
        refuse(path, f'it has version {about.get("version")} and not {VERSION}')
    difference = differing(fingerprint, about.get('fingerprint', {}))
    if difference:
        raise StreamError(ErrorCode.FILE_ERROR,
                          f'{path} is of another model or has other settings: {difference}; the '
                          'running stream is as it was.')
    try:
        state = _state(about['state'])
        place = Place[about['place']]
        pending = [_frame(stamps, tensors[f'pending.{i}'].numpy())
                   for i, stamps in enumerate(about['pending'])]
        stamps_of = {name: about['landmarks'][name] for name in LANDMARKS}
        landmarks = {name: None if stamps is None else _frame(stamps)
                     for name, stamps in stamps_of.items()}
        size, left_out = _pair(about['size']), int(about['left_out'])
        skipped_ns, still = about['skipped_ns'], about['still']
        kept = None if still is None else Signature(
            still[0], (still[1], still[2]), tensors['still'])
        frames, epoch, next_ns = map(int, (about['frames'], about['epoch'], about['next_ns']))
        counters = {name: int(about['memory'][name]) for name in COUNTERS}
        units = read_units(tensors)
        content = read_content(tensors, stream.cache, state.length)
        if sum(unit.tokens for unit in units) != state.length:
            raise ValueError('units')
    except (LookupError, TypeError, ValueError) as error:
        refuse(path, f'its parts do not fit together ({error!r})')
    if state.length > stream.memory.limit:
        raise StreamError(ErrorCode.OUT_OF_MEMORY,
                          f'{path} has {state.length} tokens, the KV cache keeps at most '
                          f'{stream.memory.limit}; set memory_tokens to {state.length} or more.')
    epoch = max(epoch, stream.epoch + (stream.newest is not None))
    # From here on nothing can fail.
    stream.clear()
    stream.cache.fill(content, units)
    stream.state, stream.place, stream.pending = state, place, pending
    stream.frames, stream.epoch, stream.size = frames, epoch, size
    stream.left_out, stream.skipped_ns, stream.still.kept = left_out, skipped_ns, kept
    for name, frame in landmarks.items():
        setattr(stream, name, frame)
    for name, number in counters.items():
        setattr(stream.memory, name, number)
    return SavedStream(path, stream.frames_held, stream.cache.length, nbytes, epoch, next_ns)


def _stamps(frame: Frame | None) -> list[Any] | None:
    if frame is None:
        return None
    return [frame.stamp_ns, frame.time_ns, frame.frame_id, frame.number]


def _frame(stamps: list[Any], image: np.ndarray = NO_IMAGE) -> Frame:
    stamp_ns, time_ns, frame_id, number = stamps
    return Frame(image, int(stamp_ns), int(time_ns), str(frame_id), int(number))


def _state(saved: dict[str, Any]) -> StreamState:
    segment = saved['segment']
    return StreamState(saved['length'], saved['last_cache_position'],
                       None if segment is None else Segment(**segment))


def _pair(size: list[int] | None) -> tuple[int, int] | None:
    return None if size is None else (int(size[0]), int(size[1]))

