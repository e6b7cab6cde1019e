# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What comes in before the stream: judged by its stamps, sampled, every frame accounted for."""

from __future__ import annotations

from contextlib import AbstractContextManager
import dataclasses
import time
from typing import Any, TYPE_CHECKING

import numpy as np

from streamvlm_ros.engine.config import StreamSettings
from streamvlm_ros.engine.errors import as_stream_error, ErrorCode, StreamError
from streamvlm_ros.engine.serving.frame_queue import FrameQueue
from streamvlm_ros.engine.serving.metrics import Counters
from streamvlm_ros.engine.stream.frames import check_frame_id, check_image, WaitingFrame
from streamvlm_ros.engine.stream.sampling import check_sample_rate, StampSampler
from streamvlm_ros.engine.stream.stamps import seconds, Stamp, StampRule, to_nanoseconds, Verdict

if TYPE_CHECKING:
    from streamvlm_ros.engine.serving.inference import VideoStreamingInference


class FrameIntake(FrameQueue):
    """Takes frames in: checked, judged by their stamps, sampled, queued, and counted.

    Every frame is counted once when it arrives, and once when it is known what becomes of it;
    ``waiting`` are those in between.

    Attributes:
        series: number of the run of stamps that comes in.
        series_in_stream: that of the newest frame in the stream.

    """

    def __init__(
        self,
        settings: StreamSettings,
        queue_frames: int,
        counters: Counters,
        queue_bytes: int = 1 << 28,
    ) -> None:
        """Begin with no frame; see ``FrameQueue``."""
        super().__init__(queue_frames, queue_bytes, counters)
        self._settings = settings
        self._uniform = settings.time_source == 'uniform'
        self._every_frame = self._uniform and settings.every_frame
        self.series = self.series_in_stream = 0
        self._newest: int | None = None  # the largest stamp that was accepted in this series
        self._take_rate(settings.sample_rate)

    @property
    def newest_stamp(self) -> int:
        """Stamp of the newest frame whose stamp was accepted, sampled or not; 0: none."""
        return self._newest or 0

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
            frame_id: whose eye it was.
            arrival_ns: when it came, on any steady clock; None: now.  Frames without usable stamps
                are sampled by it.

        """
        self._counters.arrived()
        try:
            check_image(image, self._settings.max_image_pixels)
            check_frame_id(frame_id, self._settings.max_frame_id)
            stamp = self._usable(stamp_ns)
        except StreamError as error:
            self._counters.fault(str(error), failed=1)
            return
        frame = WaitingFrame(image, stamp, frame_id, time.perf_counter())
        if self._uniform:
            self._newest = stamp
            self._sample(frame, _arrival(arrival_ns))
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
            self._counters.arrived()
            self._counters.fault(str(error), failed=1)
            return True
        if self._uniform:
            if self._every_frame or self._sampler.would_take(_arrival(arrival_ns)):
                return False
            self._newest = stamp
            self._counters.leave_out()
            return True
        verdict = self._judge(stamp)
        if verdict is Verdict.LATE:
            self._counters.arrived()
            self._counters.late += 1
            return True
        if verdict is not Verdict.GOES_ON or self._sampler.would_take(stamp):
            return False
        self._newest = stamp
        self._counters.leave_out()
        return True

    def deadline(self, patience: float) -> float:
        """Return when ``release_overdue`` has something to do, on ``time.perf_counter``."""
        if self.doubtful is None or patience <= 0:
            return float('inf')
        return self.doubtful.arrived + patience

    def release_overdue(self, patience: float) -> None:
        """Take the frame that is held back, if none has come since for so many seconds; 0: never.

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
        self._drop_all()
        self._newest = newest
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
        """Begin again with a stamp that has gone back; a new epoch, once its frame is taken."""
        assert self._newest is not None
        self._counters.stamp_jumps += 1
        self._counters.fault(
            f'Stamps went back {seconds(self._newest - stamp)}: a restart, a bag loop, or two '
            'publishers? A new epoch has begun; what was seen before is forgotten.'
        )
        self.series += 1
        self._sampler = StampSampler(self._sample_rate)

    def _accept(self, frame: WaitingFrame) -> None:
        self._newest = frame.stamp_ns
        self._sample(frame, frame.stamp_ns)

    def _sample(self, frame: WaitingFrame, time_ns: int) -> None:
        """Queue a frame, unless it is sampled out by its time."""
        if self._every_frame or self._sampler.take(time_ns):
            self._queue(dataclasses.replace(frame, series=self.series))
        else:
            self._counters.sampled_out += 1


def enter(engine: VideoStreamingInference, intake: FrameIntake, frame: WaitingFrame) -> None:
    """Give the engine a frame that was taken; it is emptied first where stamps have gone back.

    Raises:
        StreamError: as ``VideoStreamingInference.append_frame``.

    """
    if frame.series != intake.series_in_stream:
        # Noted only once it is done: no frame of a new series must go on with the old epoch.
        if engine.newest_stamp_ns is not None:
            engine.reset()
        intake.series_in_stream = frame.series
    engine.append_frame(frame.image, frame.stamp_ns, frame.frame_id, admitted=True)


def append_next(
    engine: VideoStreamingInference, intake: FrameIntake, lock: AbstractContextManager[Any]
) -> bool:
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
        enter(engine, intake, frame)
    except Exception as error:
        fault = as_stream_error(error)
    with lock:
        intake.taken(frame, fault)
        intake.pending_frames = engine.get_cache_info().pending_frames
    return True


def _arrival(arrival_ns: int | None) -> int:
    return time.monotonic_ns() if arrival_ns is None else arrival_ns
