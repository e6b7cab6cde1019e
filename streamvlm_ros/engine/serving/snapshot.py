# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The whole state of a stream at a moment: it can go on from there as if nothing had followed."""

from __future__ import annotations

from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.kvcache.manager import CacheMark, MEND
from streamvlm_ros.engine.questions.watches import Watches
from streamvlm_ros.engine.stream.stamps import StampJudge
from streamvlm_ros.engine.stream.stream import FrameStream

# What changes while a stream goes on, besides its cache and what is derived from these.
STREAM = (
    'state',
    'pending',
    'place',
    'frames',
    'newest',
    'epoch',
    'seen',
    'paired',
    'size',
    'left_out',
    'skipped_ns',
    'chunks_alone',
    'chunks_together',
)
MEMORY = ('evicted_tokens', 'held_up', 'segment', 'turn')
STATIC = ('kept', 'skipped')
CLOCK = ('sample_rate', 'since')
STAMPS = ('doubtful', 'late_frames')


class Snapshot:
    """A stream as it stood: what is cached, frames that wait, time, stamps, watches, counters.

    No byte of the cache is copied: what is cached stays where it is, and is counted again.
    """

    def __init__(self, stream: FrameStream, stamps: StampJudge, watches: Watches) -> None:
        """Remember a stream, with what judges its stamps and its standing questions."""
        self._stream, self._watches = stream, watches
        self._cache = CacheMark.of(stream.cache)
        self._damaged, self._put_off = stream.rebasing.damaged, stream.rebasing.put_off
        self._values = [
            (part, {name: getattr(part, name) for name in names})
            for part, names in (
                (stream, STREAM),
                (stream.memory, MEMORY),
                (stream.still, STATIC),
                (stream.clock, CLOCK),
                (stamps, STAMPS),
            )
        ]
        self._asked, self._recent = watches.state(), stream.recent.newest()

    def restore(self, stream: FrameStream) -> None:
        """Put a stream back to where it stood; it can be done again later.

        Raises:
            StreamError: INVALID_REQUEST; it is another stream's, or part of what was cached has
                been evicted, or moved to other positions, or the stream was reset.  The stream
                then stays as it is.

        """
        if stream is not self._stream:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                'The snapshot is of another stream; restore it to the one that it was taken of.',
            )
        why = self._cache.fault(stream.cache)
        if not why and stream.rebasing.damaged and not self._damaged:
            why = 'the device has failed while it moved the stream to other positions'
        if why:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'The snapshot cannot be restored: {why}. {MEND}',
            )
        self._cache.go_back(stream.cache)
        for part, values in self._values:
            for name, value in values.items():
                setattr(part, name, value)
        # A list of its own: what was made of waiting frames since is told by the list object.
        stream.pending = list(stream.pending)
        stream.rebasing.put_off = self._put_off
        stream.encoder_cache.prepared = None
        stream.recent.go_back(self._recent)
        self._watches.go_back(self._asked)
