# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The queue of frames before the worker: sampled, bounded, every frame accounted for."""

from __future__ import annotations

import collections
import dataclasses
import time

import numpy as np

from streamvlm_ros.engine.errors import StreamError
from streamvlm_ros.engine.frames import check_image
from streamvlm_ros.engine.sampling import StampSampler
from streamvlm_ros.engine.settings import StreamSettings
from streamvlm_ros.engine.worker_status import Counters


@dataclasses.dataclass(frozen=True)
class WaitingFrame:
    """A frame that the worker has not taken yet; ``arrived`` on ``time.perf_counter``."""

    image: np.ndarray
    stamp_ns: int
    frame_id: str
    arrived: float


class FrameIntake:
    """Takes frames in; whoever holds the worker's lock may call it.

    Attributes:
        newest_stamp: of the newest frame that came with a usable stamp, sampled or not.
        waiting: frames received that are not in the stream yet, nor lost.

    """

    def __init__(self, settings: StreamSettings, queue_frames: int, counters: Counters) -> None:
        """Keep at most ``queue_frames`` waiting; what is lost goes to ``counters``."""
        self._settings = settings
        self._queue_frames = queue_frames
        self._counters = counters
        self._frames: collections.deque[WaitingFrame] = collections.deque()
        self._in_hand = 0  # taken from the queue, but not in the stream yet
        self._start_over()

    def __bool__(self) -> bool:
        """Tell whether a frame can be taken."""
        return bool(self._frames)

    @property
    def waiting(self) -> int:
        """Frames received that are not in the stream yet, nor lost."""
        return len(self._frames) + self._in_hand

    def put(self, image: np.ndarray, stamp_ns: int, frame_id: str) -> None:
        """Queue a frame, or sample it out, or count why it is lost."""
        self._counters.arrived()
        try:
            check_image(image)
        except StreamError as error:
            self._counters.fault(str(error), failed=1)
            return
        if self._settings.time_source == 'stamp' and stamp_ns <= 0:
            self._counters.fault('The frame has no header stamp; stamp the images, or set '
                                 'time_source to uniform.', failed=1)
            return
        self.newest_stamp = stamp_ns
        # Without stamps there is no clock to sample by: every frame counts.
        if stamp_ns > 0 and not self._sampler.take(stamp_ns):
            self._counters.sampled_out += 1
            return
        if len(self._frames) >= self._queue_frames:
            self._frames.popleft()
            self._counters.fault('Frames come faster than they can be prefilled; the oldest '
                                 'waiting ones are dropped.', dropped=1)
        self._frames.append(WaitingFrame(image, stamp_ns, frame_id, time.perf_counter()))

    def take(self) -> WaitingFrame | None:
        """Take the oldest frame; ``taken`` says what became of it."""
        if not self._frames:
            return None
        self._in_hand = 1
        return self._frames.popleft()

    def taken(self, frame: WaitingFrame, fault: StreamError | None) -> None:
        """Count the frame that was taken: ingested, or dropped for a fault."""
        self._in_hand = 0
        if fault is None:
            self._counters.ingest(time.perf_counter() - frame.arrived)
        else:
            self._counters.fault(str(fault), dropped=1)

    def clear(self) -> None:
        """Drop what waits, and sample afresh."""
        self._counters.dropped += len(self._frames)
        self._frames.clear()
        self._start_over()

    def _start_over(self) -> None:
        self._sampler = StampSampler(self._settings.sample_rate)
        self.newest_stamp = 0
