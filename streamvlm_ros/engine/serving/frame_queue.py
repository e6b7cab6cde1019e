# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The frames that wait for the stream: bounded in number and bytes, dropped as whole patches."""

from __future__ import annotations

import collections
from collections.abc import Sequence
import itertools
import time

from streamvlm_ros.engine.errors import StreamError
from streamvlm_ros.engine.serving.metrics import Counters
from streamvlm_ros.engine.stream.frames import WaitingFrame


class FrameQueue:
    """Frames in the order in which they came; in the worker, whoever holds its lock may call this.

    Attributes:
        pending_frames: frames in the stream that wait for their chunk to fill; to be kept up to
            date, as the first waiting frame may be the other half of a pair.
        doubtful: a frame that is held back and not in the queue yet; None: there is none.

    """

    def __init__(self, queue_frames: int, queue_bytes: int, counters: Counters) -> None:
        """Begin with no frame.

        Args:
            queue_frames: frames that may wait.
            queue_bytes: bytes of their images, except that one frame may always wait.
            counters: where it is counted what becomes of them.

        """
        self._queue_frames = queue_frames
        self._queue_bytes = queue_bytes
        self._counters = counters
        self._frames: collections.deque[WaitingFrame] = collections.deque()
        self._in_hand: WaitingFrame | None = None  # out of the queue, not in the stream yet
        self._last: WaitingFrame | None = None  # the newest in the stream
        self._held = 0  # of the oldest frames, on which work was done
        self.pending_frames = 0
        self.doubtful: WaitingFrame | None = None

    def __bool__(self) -> bool:
        """Tell whether a frame can be taken."""
        return bool(self._frames)

    @property
    def waiting(self) -> int:
        """Frames received that are not in the stream yet, nor lost."""
        return len(self._frames) + (self._in_hand is not None) + (self.doubtful is not None)

    def oldest(self, frames: int) -> list[WaitingFrame]:
        """Return up to so many of the oldest frames, which stay where they are."""
        return list(itertools.islice(self._frames, frames))

    def hold(self, frames: Sequence[WaitingFrame]) -> None:
        """Drop none of these, on which work was done, if they are the oldest still."""
        oldest = self.oldest(len(frames))
        if len(oldest) == len(frames) and all(a is b for a, b in zip(oldest, frames)):
            self._held = len(frames)

    def take(self) -> WaitingFrame | None:
        """Take the oldest frame; ``taken`` says what became of it."""
        if not self._frames:
            return None
        self._held = max(0, self._held - 1)
        self._in_hand = self._frames.popleft()
        return self._in_hand

    def put_back(self, frame: WaitingFrame) -> None:
        """Let the frame that was taken wait again, before all others."""
        self._in_hand = None
        self._frames.appendleft(frame)

    def taken(self, frame: WaitingFrame, fault: StreamError | None) -> None:
        """Count the frame that was taken: ingested, or dropped for a fault."""
        self._in_hand = None
        if fault is None:
            self._counters.ingest(time.perf_counter() - frame.arrived)
            self._last = frame
        else:
            self._counters.fault(str(fault), dropped=1)

    def _queue(self, frame: WaitingFrame) -> None:
        self._frames.append(frame)
        self._keep_bounds()

    def _drop_all(self) -> None:
        self._counters.dropped += self.waiting
        self._frames.clear()
        self._in_hand = self._last = self.doubtful = None
        self._held = self.pending_frames = 0

    def _keep_bounds(self) -> None:
        """Drop the oldest whole temporal patch while more waits than may.

        Two frames that would be encoded together go, never one out of a pair, nor what ``hold``
        has named.
        """
        while len(self._frames) > 1 and (
            len(self._frames) > self._queue_frames or self._bytes() > self._queue_bytes
        ):
            self._drop_oldest_patch()

    def _bytes(self) -> int:
        doubtful = [self.doubtful] if self.doubtful else []
        return sum(frame.image.nbytes for frame in (*self._frames, *doubtful))

    def _drop_oldest_patch(self) -> None:
        frames = self._frames
        # A frame whose other half is in the stream already is not whole by itself.
        start = self._held or int(self._completes_a_pair(frames[0]))
        end = start + 1
        if end < len(frames) and frames[start].pairs_with(frames[end]):
            end += 1
        if end >= len(frames):
            # The queue is too short for a whole patch besides the frame that has just come.
            start, end = 0, 1
            self._held = 0
        frames.rotate(-start)
        for _ in range(end - start):
            frames.popleft()
        frames.rotate(start)
        self._counters.fault(
            'Frames come faster than they can be prefilled; the oldest waiting ones are dropped.',
            dropped=end - start,
        )

    def _completes_a_pair(self, frame: WaitingFrame) -> bool:
        """Tell whether the first waiting frame is the second of a pair."""
        half = self._last if self.pending_frames % 2 else None
        if self._in_hand is not None:
            # Once that is in the stream it is the second of a pair, or the first of the next.
            half = None if half is not None and half.pairs_with(self._in_hand) else self._in_hand
        return half is not None and half.pairs_with(frame)
