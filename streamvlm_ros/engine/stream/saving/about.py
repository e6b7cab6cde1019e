# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a saved stream has besides its tensors, as JSON and back.

Everything that comes back has the type and the range that it must have, and fits the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import itertools
from typing import Any

import numpy as np

from streamvlm_ros.engine.models.prompt import Place
from streamvlm_ros.engine.positions import Segment, StreamState
from streamvlm_ros.engine.store.fields import (
    integer,
    items,
    LAST_POSITION,
    record,
    text,
    time,
    UnfitError,
)
from streamvlm_ros.engine.stream.frames import Frame, MAX_ASPECT
from streamvlm_ros.engine.stream.saving.bounds import SavedBounds
from streamvlm_ros.engine.stream.stream import FrameStream

VERSION = 3
# Frames of which only the stamps matter any more.
LANDMARKS = ('newest', 'seen', 'paired')
COUNTERS = ('segment', 'turn', 'evicted_tokens')
FIELDS = (
    'version',
    'fingerprint',
    'epoch',
    'next_ns',
    'frames',
    'place',
    'state',
    'size',
    'left_out',
    'skipped_ns',
    'memory',
    'pending',
    'landmarks',
    'still',
)
NO_IMAGE = np.empty((0, 0, 3), np.uint8)


@dataclasses.dataclass(frozen=True)
class About:
    """A stream without its cache and its images; see ``FrameStream`` for what is what.

    Attributes:
        next_ns: time of the next frame, where time is uniform.
        counters: of its ``EvictionPolicy``, by their names.
        pending: frames that wait; their images are empty.
        landmarks: by their names; one that is pending too is the same object.
        still: time and size (height, width) of the patch that new ones are compared with.

    """

    epoch: int
    next_ns: int
    frames: int
    place: Place
    state: StreamState
    size: tuple[int, int] | None
    left_out: int
    skipped_ns: int | None
    counters: Mapping[str, int]
    pending: Sequence[Frame]
    landmarks: Mapping[str, Frame | None]
    still: tuple[int, tuple[int, int]] | None

    @property
    def newest(self) -> Frame:
        """The newest frame; a stream without one is not saved."""
        newest = self.landmarks['newest']
        assert newest is not None
        return newest


def describe(stream: FrameStream, next_ns: int, fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``read_about`` reads, for JSON."""
    kept = stream.still.kept
    return {
        'version': VERSION,
        'fingerprint': dict(fingerprint),
        'epoch': stream.epoch,
        'next_ns': next_ns,
        'frames': stream.frames,
        'place': stream.place.name,
        'state': dataclasses.asdict(stream.state),
        'size': stream.size,
        'left_out': stream.left_out,
        'skipped_ns': stream.skipped_ns,
        'memory': {name: getattr(stream.memory, name) for name in COUNTERS},
        'pending': [_stamps(frame) for frame in stream.pending],
        'landmarks': {name: _stamps(getattr(stream, name)) for name in LANDMARKS},
        'still': [kept.time_ns, *kept.size] if kept else None,
    }


def read_about(about: Any, bounds: SavedBounds) -> About:
    """Return what a file says of a stream.

    Args:
        about: what JSON gave.
        bounds: of the stream that it is for.

    Raises:
        UnfitError: it is not what a stream says of itself, or does not fit that stream.

    """
    (
        _,
        _,
        epoch,
        next_ns,
        frames,
        place,
        state,
        size,
        left_out,
        skipped_ns,
        memory,
        pending,
        landmarks,
        still,
    ) = record(about, 'the description', FIELDS)
    if type(place) is not str or place not in Place.__members__:
        raise UnfitError('its place in the prompt is not one that there is')
    known: dict[int, Frame] = {}
    waiting = [
        _frame(each, known, bounds) for each in items(pending, 'the list of waiting frames')
    ]
    marks = dict(
        zip(
            LANDMARKS,
            (
                None if each is None else _frame(each, known, bounds)
                for each in record(landmarks, 'the newest frames', LANDMARKS)
            ),
        )
    )
    counters = dict(
        zip(
            COUNTERS,
            (
                integer(number, name, -1 if name != 'evicted_tokens' else 0)
                for name, number in zip(COUNTERS, record(memory, 'the counters', COUNTERS))
            ),
        )
    )
    result = About(
        integer(epoch, 'the epoch'),
        time(next_ns, 'the next time'),
        integer(frames, 'the number of frames', 1),
        Place[place],
        _state(state),
        None if size is None else image_size(size, bounds),
        integer(left_out, 'left_out'),
        None if skipped_ns is None else time(skipped_ns, 'a skipped time'),
        counters,
        waiting,
        marks,
        None if still is None else _still(still, bounds),
    )
    _check_frames(result, known, bounds)
    return result


def _stamps(frame: Frame | None) -> list[Any] | None:
    if frame is None:
        return None
    return [frame.stamp_ns, frame.time_ns, frame.frame_id, frame.number]


def _frame(stamps: Any, known: dict[int, Frame], bounds: SavedBounds) -> Frame:
    """Return the frame of these stamps: the one that is known, if there is one."""
    stamp_ns, time_ns, frame_id, number = items(stamps, 'a frame', 4)
    frame = Frame(
        NO_IMAGE,
        time(stamp_ns, 'a stamp'),
        time(time_ns, 'the time of a frame'),
        text(frame_id, 'a frame_id', bounds.settings.max_frame_id),
        integer(number, 'the number of a frame'),
    )
    if bounds.settings.time_source == 'stamp' and frame.time_ns != frame.stamp_ns:
        raise UnfitError('the time of a frame is not its stamp')
    same = known.setdefault(frame.number, frame)
    if _stamps(same) != _stamps(frame):
        raise UnfitError(f'it has two different frames {frame.number}')
    return same


def _state(state: Any) -> StreamState:
    length, last, segment = record(
        state, 'the state', ('length', 'last_cache_position', 'segment')
    )
    names = [field.name for field in dataclasses.fields(Segment)]
    opened = None
    if segment is not None:
        values = dict(zip(names, record(segment, 'the vision segment', names)))
        for name, value in values.items():
            if name.endswith('_ns'):
                time(value, f"the vision segment's {name}")
            else:
                integer(
                    value,
                    f"the vision segment's {name}",
                    name in ('rows', 'columns'),
                    LAST_POSITION,
                )
        opened = Segment(**values)
    return StreamState(
        integer(length, 'the length'),
        integer(last, 'the largest position', -1, LAST_POSITION),
        opened,
    )


def image_size(size: Any, bounds: SavedBounds) -> tuple[int, int]:
    """Return the height and width of an image that the stream takes.

    Raises:
        UnfitError: it does not.

    """
    largest = bounds.settings.max_image_pixels
    height, width = (
        integer(side, 'a side of an image', 1, largest)
        for side in items(size, 'the size of an image', 2)
    )
    if height * width > largest or max(height, width) > MAX_ASPECT * min(height, width):
        raise UnfitError(
            f'an image is {width}x{height}; it may have {largest} pixels, and one '
            f'side {MAX_ASPECT} times the other'
        )
    return height, width


def _still(still: Any, bounds: SavedBounds) -> tuple[int, tuple[int, int]]:
    time_ns, *size = items(still, 'the patch to compare with', 3)
    return time(time_ns, 'the time of a patch'), image_size(size, bounds)


def _check_frames(about: About, known: Mapping[int, Frame], bounds: SavedBounds) -> None:
    """Check what frames must be to each other.

    Raises:
        UnfitError: they cannot be those of one stream.

    """
    if about.landmarks['newest'] is None or about.newest.number != about.frames - 1:
        raise UnfitError('its newest frame is not its last one')
    frames = [known[number] for number in sorted(known)]
    stamps = [frame.time_ns for frame in frames]
    if stamps != sorted(stamps) or frames[-1] is not about.newest:
        raise UnfitError('its frames are not in the order of their times')
    pending, left_out, chunk = about.pending, about.left_out, bounds.settings.chunk_frames
    temporal = bounds.pixels.temporal_patch_size
    if len(pending) + left_out >= chunk:
        raise UnfitError(
            f'{len(pending) + left_out} frames wait, but a chunk has {chunk}: set '
            'chunk_frames to what it was'
        )
    if left_out % temporal or bool(left_out) != (about.skipped_ns is not None):
        raise UnfitError('what was left out does not fit itself')
    if about.skipped_ns is not None and about.skipped_ns > about.newest.time_ns:
        raise UnfitError('what was left out is newer than its newest frame')
    numbers = [frame.number for frame in pending]
    first = about.frames - len(pending) - left_out
    if (numbers and numbers[0] < first) or any(
        after - before < 1 or (index % temporal == 0 and after - before > 1)
        for index, (before, after) in enumerate(itertools.pairwise(numbers))
    ):
        raise UnfitError('the waiting frames are not those after the last chunk')
    if len(pending) % temporal and pending[-1] is not about.newest:
        raise UnfitError('the frame that waits for its pair is not the newest')
    if pending and len(pending) % temporal == 0 and about.landmarks['paired'] is not about.newest:
        raise UnfitError('the newest frame is in no pair')
    seen = about.landmarks['seen']
    if (-1 if seen is None else seen.number) != first - 1:
        raise UnfitError('the frames that wait are not those after what was seen')
    if about.still is not None and about.still[0] > about.newest.time_ns:
        raise UnfitError('the patch to compare with is newer than its newest frame')
    if bounds.settings.time_source == 'uniform' and about.next_ns < about.newest.time_ns:
        raise UnfitError('the next time is before its newest frame')
