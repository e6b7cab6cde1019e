# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The queue of frames before the stream: sampled, bounded, every frame accounted for."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from contextlib import AbstractContextManager
import dataclasses
import itertools
import time
from typing import Any, TYPE_CHECKING

import numpy as np

from streamvlm_ros.engine.errors import as_stream_error, StreamError
from streamvlm_ros.engine.frames import check_image
from streamvlm_ros.engine.sampling import check_sample_rate, StampSampler
from streamvlm_ros.engine.settings import StreamSettings
from streamvlm_ros.engine.worker_status import Counters

if TYPE_CHECKING:
    from streamvlm_ros.engine.inference import VideoStreamingInference


@dataclasses.dataclass(frozen=True)
class WaitingFrame:
    """A frame that is not in the stream yet; ``arrived`` on ``time.perf_counter``."""

    image: np.ndarray
    stamp_ns: int
    frame_id: str
    arrived: float

    def pairs_with(self, other: WaitingFrame) -> bool:
        """Tell whether this frame and the next one form a temporal patch."""
        return (self.image.shape == other.image.shape and self.stamp_ns <= other.stamp_ns)


class FrameIntake:
    """Takes frames in; in the worker, whoever holds its lock may call this.

    Attributes:
        newest_stamp: of the newest frame that came with a usable stamp, sampled or not.
        pending_frames: frames in the stream that wait for their chunk to fill; to be kept up to
            date, as the first waiting frame may be the other half of a pair.

    """

    def __init__(self, settings: StreamSettings, queue_frames: int, counters: Counters) -> None:
        """Keep at most ``queue_frames`` waiting; what is lost goes to ``counters``."""
        self._time_source = settings.time_source
        self._sample_rate = settings.sample_rate
        self._queue_frames = queue_frames
        self._counters = counters
        self._frames: collections.deque[WaitingFrame] = collections.deque()
        self._in_hand: WaitingFrame | None = None  # out of the queue, not in the stream yet
        self._last: WaitingFrame | None = None  # the newest in the stream
        self._start_over()

    def __bool__(self) -> bool:
        """Tell whether a frame can be taken."""
        return bool(self._frames)

    @property
    def waiting(self) -> int:
        """Frames received that are not in the stream yet, nor lost."""
        return len(self._frames) + (self._in_hand is not None)

    def set_sample_rate(self, rate: float) -> None:
        """Sample what comes from now on at ``rate`` Hz of stream time; 0 takes every frame.

        Raises:
            StreamError: INVALID_REQUEST for a rate below 0, or 0 without stamps.

        """
        check_sample_rate(rate, self._time_source)
        self._sample_rate = rate
        self._sampler = StampSampler(rate)

    def put(self, image: np.ndarray, stamp_ns: int, frame_id: str) -> None:
        """Queue a frame, or sample it out, or count why it is lost.

        When the queue is full, the oldest whole temporal patch that waits is dropped: two frames
        that would be encoded together, never one out of a pair, nor what ``hold`` has named.
        """
        self._counters.arrived()
        try:
            check_image(image)
        except StreamError as error:
            self._counters.fault(str(error), failed=1)
            return
        if self._time_source == 'stamp' and stamp_ns <= 0:
            self._counters.fault('The frame has no header stamp; stamp the images, or set '
                                 'time_source to uniform.', failed=1)
            return
        self.newest_stamp = stamp_ns
        # Without stamps there is no clock to sample by: every frame counts.
        if stamp_ns > 0 and not self._sampler.take(stamp_ns):
            self._counters.sampled_out += 1
            return
        self._frames.append(WaitingFrame(image, stamp_ns, frame_id, time.perf_counter()))
        if len(self._frames) > self._queue_frames:
            self._drop_oldest_patch()

    def leave_out(self, stamp_ns: int) -> bool:
        """Do what ``put`` does if it would sample a frame out; return whether it would."""
        if stamp_ns <= 0 or self._sampler.would_take(stamp_ns):
            return False
        self._counters.leave_out()
        self._sampler.take(stamp_ns)
        self.newest_stamp = stamp_ns
        return True

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

    def clear(self) -> None:
        """Drop what waits, and sample afresh."""
        self._counters.dropped += len(self._frames)
        self._frames.clear()
        self._start_over()

    def _start_over(self) -> None:
        self._sampler = StampSampler(self._sample_rate)
        self.newest_stamp = 0
        self.pending_frames = 0
        self._held = 0  # of the oldest frames

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
        self._counters.fault('Frames come faster than they can be prefilled; the oldest waiting '
                             'ones are dropped.', dropped=end - start)

    def _completes_a_pair(self, frame: WaitingFrame) -> bool:
        """Tell whether the first waiting frame is the second of a pair."""
        half = self._last if self.pending_frames % 2 else None
        if self._in_hand is not None:
            # Once that is in the stream it is the second of a pair, or the first of the next.
            half = None if half is not None and half.pairs_with(self._in_hand) else self._in_hand
        return half is not None and half.pairs_with(frame)


def append_next(engine: VideoStreamingInference, intake: FrameIntake,
                lock: AbstractContextManager[Any]) -> bool:
    """Append the oldest waiting frame, with the lock held around the intake only.

    What the engine refuses is counted as dropped, and why.

    Returns:
        Whether a frame was waiting.

    """
    with lock:
        frame = intake.take()
    if frame is None:
        return False
    fault: StreamError | None = None
    try:
        engine.append_frame(frame.image, frame.stamp_ns, frame.frame_id)
    except Exception as error:
        fault = as_stream_error(error)
    with lock:
        intake.taken(frame, fault)
        intake.pending_frames = engine.get_cache_info().pending_frames
    return True
