# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The frames that wait for the stream: judged by their stamps, sampled, bounded, all counted."""

from __future__ import annotations

import collections
from collections.abc import Sequence
import itertools
import time

import numpy as np

from streamvlm_ros.engine.config import check_sample_rate, StreamSettings
from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.serving.metrics import Counters
from streamvlm_ros.engine.stream.frames import check_frame_id, check_image, drop_patch, Frame
from streamvlm_ros.engine.stream.stamps import (
    seconds,
    Stamp,
    StampRule,
    StampSampler,
    to_nanoseconds,
    Verdict,
)

QUEUE_BYTES = 1 << 28  # of the images that wait, unless the caller says otherwise


class FrameQueue:
    """Takes frames in: checked, judged by their stamps, sampled, queued and counted.

    Every frame is counted once when it arrives, and once when it is known what becomes of it;
    ``waiting`` are those in between.  In the worker its lock must be held around every call.

    Attributes:
        ready: the frames that can be taken, from the oldest on.
        pending_frames: frames in the stream that wait for their chunk to fill.  It must be kept up
            to date, as the first waiting frame may be the other half of a pair.
        doubtful: a frame that is held back and not in the queue yet; None: there is none.
        newest_stamp: stamp of the newest frame whose stamp was accepted, sampled or not; 0: none.
        series: number of the run of stamps that comes in.
        series_in_stream: that of the newest frame in the stream.

    """

    def __init__(
        self,
        settings: StreamSettings,
        queue_frames: int,
        counters: Counters,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        """Begin empty.

        Args:
            settings: of the stream.
            queue_frames: frames that may wait.
            counters: counts what becomes of them.
            queue_bytes: bytes of their images, except that one frame may always wait.

        """
        self._settings = settings
        self._uniform = settings.time_source == 'uniform'
        self._every_frame = self._uniform and settings.every_frame
        self._queue_frames = queue_frames
        self._queue_bytes = queue_bytes
        self._counters = counters
        self.ready: collections.deque[Frame] = collections.deque()
        self._in_hand: Frame | None = None  # out of the queue, not in the stream yet
        self._last: Frame | None = None  # the newest in the stream
        self._held = 0  # how many of the oldest frames have work done on them
        self.pending_frames = 0
        self.doubtful: Frame | None = None
        self.series = self.series_in_stream = 0
        self._newest: int | None = None  # the largest stamp that was accepted in this series
        self.newest_stamp = 0
        self._take_rate(settings.sample_rate)

    @property
    def waiting(self) -> int:
        """Frames received that are not in the stream yet, nor lost."""
        return len(self.ready) + (self._in_hand is not None) + (self.doubtful is not None)

    def oldest(self, frames: int) -> list[Frame]:
        """Return the oldest frames, at most ``frames`` of them, and leave them in the queue."""
        return list(itertools.islice(self.ready, frames))

    def hold(self, frames: Sequence[Frame]) -> None:
        """Keep these frames, on which work was done, if they still are the oldest ones."""
        oldest = self.oldest(len(frames))
        if len(oldest) == len(frames) and all(a is b for a, b in zip(oldest, frames)):
            self._held = len(frames)

    def take(self) -> Frame | None:
        """Take the oldest frame; ``taken`` says what became of it."""
        if not self.ready:
            return None
        self._held = max(0, self._held - 1)
        self._in_hand = self.ready.popleft()
        return self._in_hand

    def put_back(self, frame: Frame) -> None:
        """Let the frame that was taken wait again, before all others."""
        self._in_hand = None
        self.ready.appendleft(frame)

    def taken(self, frame: Frame, fault: StreamError | None) -> None:
        """Count the frame that was taken: ingested, or dropped for a fault."""
        self._in_hand = None
        if fault is None:
            self._counters.ingested += 1
            self._counters.frame_age = time.perf_counter() - frame.arrived
            self._counters.ingests.append(time.monotonic())
            self._last = frame
        else:
            self._counters.fault(str(fault), dropped=1)

    def count_arrival(self) -> None:
        """Count a message in, before it is known what becomes of it."""
        self._counters.received += 1
        self._counters.arrivals.append(time.monotonic())

    def count_left_out(self) -> None:
        """Count a message in that is left out on purpose."""
        self.count_arrival()
        self._counters.sampled_out += 1

    def count_lost(self, message: str, *, dropped: int = 0, failed: int = 0) -> None:
        """Count a message in that did not become a frame, and say why."""
        self.count_arrival()
        self._counters.fault(message, dropped=dropped, failed=failed)

    def set_sample_rate(self, rate: float) -> None:
        """Sample what comes from now on at ``rate`` Hz; 0 takes every frame.

        Raises:
            StreamError: INVALID_REQUEST for a rate that ``check_sample_rate`` refuses.

        """
        check_sample_rate(rate, self._settings.time_source)
        if rate != self._sample_rate:
            self._take_rate(rate)

    def put(
        self, image: np.ndarray, stamp_ns: Stamp, frame_id: str, arrival_ns: int | None = None
    ) -> None:
        """Queue a frame, or sample it out, or count why it is lost.

        Where time_source is stamp, ``StampRule`` says what becomes of it.  One that is too far
        ahead of the newest is held back, until the next one is near it, or ``release_overdue``.

        Args:
            image: RGB uint8 [h, w, 3].
            stamp_ns: its stamp, as the engine takes it.
            frame_id: of the camera, from the message's header.
            arrival_ns: when it came, on any steady clock; None: now.  Frames without usable stamps
                are sampled by it.

        """
        self.count_arrival()
        try:
            check_image(image, self._settings.max_image_pixels)
            check_frame_id(frame_id, self._settings.max_frame_id)
            stamp = self._usable(stamp_ns)
        except StreamError as error:
            self._counters.fault(str(error), failed=1)
            return
        frame = Frame(image, stamp, frame_id=frame_id, arrived=time.perf_counter())
        if self._uniform:
            self._set_newest(stamp)
            self._sample(frame, time.monotonic_ns() if arrival_ns is None else arrival_ns)
            return
        verdict = self._judge(stamp)
        if verdict is Verdict.LATE:
            self._counters.late += 1
        elif verdict is Verdict.AHEAD:
            self.doubtful = frame
            self._keep_bounds()
        else:
            if verdict is Verdict.BACK:
                self._begin_series(stamp)
            self._accept(frame)

    def leave_out(self, stamp_ns: Stamp, arrival_ns: int | None = None) -> bool:
        """Do what ``put`` does if it would not take a frame with this stamp.

        Returns:
            Whether that is so: it is sampled out, late, or its stamp is of no use.

        """
        try:
            stamp = self._usable(stamp_ns)
        except StreamError as error:
            self.count_lost(str(error), failed=1)
            return True
        if self._uniform:
            if self._every_frame or self._sampler.would_take(
                time.monotonic_ns() if arrival_ns is None else arrival_ns
            ):
                return False
            self._set_newest(stamp)
            self.count_left_out()
            return True
        verdict = self._judge(stamp)
        if verdict is Verdict.LATE:
            self.count_arrival()
            self._counters.late += 1
            return True
        if verdict is not Verdict.GOES_ON or self._sampler.would_take(stamp):
            return False
        self._set_newest(stamp)
        self.count_left_out()
        return True

    def deadline(self, patience: float) -> float:
        """Return when ``release_overdue`` has something to do, on ``time.perf_counter``."""
        if self.doubtful is None or patience <= 0:
            return float('inf')
        return self.doubtful.arrived + patience

    def release_overdue(self, patience: float) -> None:
        """Take the frame that is held back if no other has come for ``patience`` s; 0: never.

        The camera has stopped then, and nothing contradicts its last stamp.
        """
        if time.perf_counter() >= self.deadline(patience):
            self.release()

    def release(self) -> None:
        """Take the frame that is held back, if there is one."""
        frame, self.doubtful = self.doubtful, None
        if frame is not None:
            self._accept(frame)

    def begin(self, newest: int | None = None) -> None:
        """Drop what waits, and go on with another stream.

        Args:
            newest: stamp of that stream's newest frame; None: it has none, and any stamp begins.

        """
        self._counters.dropped += self.waiting
        self.ready.clear()
        self._in_hand = self._last = self.doubtful = None
        self._held = self.pending_frames = 0
        self._set_newest(newest)
        self.series_in_stream = self.series
        self._sampler = StampSampler(self._sample_rate)

    def _take_rate(self, rate: float) -> None:
        self._sample_rate = rate
        self._sampler = StampSampler(rate)
        self._rule = StampRule.of(self._settings, rate)

    def _usable(self, stamp_ns: Stamp) -> int:
        """Return a stamp that the stream can have.

        Raises:
            StreamError: INVALID_REQUEST; there is none, or it cannot be a time.

        """
        stamp = to_nanoseconds(stamp_ns, clip=self._uniform)
        if not stamp and not self._uniform:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                'The frame has no header stamp; stamp the images, or set time_source to uniform.',
            )
        return stamp

    def _judge(self, stamp: int) -> Verdict:
        """Return what a stamp says, and decide about the frame that is held back."""
        held, rule = self.doubtful, self._rule
        verdict = rule.judge(stamp, self._newest, held.stamp_ns if held else None)
        if held is None:
            return verdict
        if verdict is Verdict.CONFIRMS:
            self.release()
            return rule.judge(stamp, self._newest)
        self.doubtful = None
        assert self._newest is not None
        self._counters.fault(
            f'A frame was {rule.too_far(held.stamp_ns, self._newest)}, and the next one was not '
            "near it: it is left out. Check the camera's clock.",
            failed=1,
        )
        return verdict

    def _begin_series(self, stamp: int) -> None:
        """Begin a new series: stamps went back.  The new epoch begins when its frame is taken."""
        assert self._newest is not None
        self._counters.stamp_jumps += 1
        self._counters.fault(
            f'Stamps went back {seconds(self._newest - stamp)}: a restart, a bag loop, or two '
            'publishers? A new epoch has begun; what was seen before is forgotten.'
        )
        self.series += 1
        self._sampler = StampSampler(self._sample_rate)

    def _set_newest(self, stamp: int | None) -> None:
        self._newest, self.newest_stamp = stamp, stamp or 0

    def _accept(self, frame: Frame) -> None:
        self._set_newest(frame.stamp_ns)
        self._sample(frame, frame.stamp_ns)

    def _sample(self, frame: Frame, time_ns: int) -> None:
        """Queue a frame, unless it is sampled out by its time."""
        if not (self._every_frame or self._sampler.take(time_ns)):
            self._counters.sampled_out += 1
            return
        frame.series = self.series
        self.ready.append(frame)
        self._keep_bounds()

    def _keep_bounds(self) -> None:
        """Drop the oldest whole temporal patch while more waits than may.

        Two frames that would be encoded together are dropped together.  Frames that are held are
        kept.
        """
        while len(self.ready) > 1 and (
            len(self.ready) > self._queue_frames or self._bytes() > self._queue_bytes
        ):
            self._drop_oldest_patch()

    def _bytes(self) -> int:
        doubtful = [self.doubtful] if self.doubtful else []
        return sum(frame.image.nbytes for frame in (*self.ready, *doubtful))

    def _drop_oldest_patch(self) -> None:
        # The first frame is kept if the other half of its pair is in the stream already.
        start = self._held or int(self._completes_a_pair(self.ready[0]))
        dropped = drop_patch(self.ready, start)
        if not dropped:
            # There is no whole patch besides the newest frame.
            self.ready.popleft()
            dropped, self._held = 1, 0
        self._counters.fault(
            'Frames come faster than they can be prefilled; the oldest waiting ones are dropped.',
            dropped=dropped,
        )

    def _completes_a_pair(self, frame: Frame) -> bool:
        """Tell whether the first waiting frame is the second of a pair."""
        half = self._last if self.pending_frames % 2 else None
        if self._in_hand is not None:
            # Once that is in the stream it is the second of a pair, or the first of the next.
            half = None if half is not None and half.pairs_with(self._in_hand) else self._in_hand
        return half is not None and half.pairs_with(frame)
