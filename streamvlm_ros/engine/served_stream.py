# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One stream as the model's thread serves it: its frames, its questions, its calls."""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import threading
from typing import Any

from streamvlm_ros.engine.ahead import DueChunk
from streamvlm_ros.engine.desk import AnswerDesk
from streamvlm_ros.engine.errors import as_stream_error, ErrorCode, StreamError
from streamvlm_ros.engine.inference import VideoStreamingInference
from streamvlm_ros.engine.intake import append_next, FrameIntake
from streamvlm_ros.engine.requests import Call, Request
from streamvlm_ros.engine.watch import WatchEvent
from streamvlm_ros.engine.worker_status import Counters, WorkerStatus


class ServedStream:
    """What the model's thread does for one stream, and what others hand in for it.

    Nothing here knows of other streams, so that nothing that happens to one of them reaches
    another.

    Attributes:
        wake: the thread's lock, of everything here but the engine; notified when there is work.
        engine: the stream; for the model's thread only.
        model: what it runs on.
        intake, counters, desk: for whoever holds the lock.
        paused: frames that come are left out.
        stale_after: seconds without a frame until the stream is stale; 0: never.
        closed: nothing is taken in any more.
        ended: it is not served any more.

    """

    def __init__(self, engine: VideoStreamingInference, queue_frames: int,
                 wake: threading.Condition, on_change: Callable[[], None] | None,
                 on_watch_event: Callable[[WatchEvent], None] | None) -> None:
        """Take the engine over; see ``StreamWorker``."""
        self.wake = wake
        self.engine = engine
        self.model = engine.questions.model
        self.counters = Counters()
        self.intake = FrameIntake(engine.settings, queue_frames, self.counters)
        self.desk = AnswerDesk(engine.questions)
        self.paused = False
        self.stale_after = 0.0
        self.closed = False
        self.ended = False
        self._failed = False
        self._on_change = on_change
        self._on_watch_event = on_watch_event
        self._calls: list[Call[Any]] = []
        self._info = engine.get_cache_info()
        self._epoch = engine.epoch
        self._told = ('', -1, '')

    def submit(self, work: Request | Call[Any]) -> None:
        """Take a request or a call in; it fails with NOT_ACTIVE when nothing is any more."""
        with self.wake:
            if self.closed:
                work.fail(not_active())
                return
            if isinstance(work, Call):
                self._calls.append(work)
            else:
                self.desk.add(work)
            self.wake.notify()

    def status(self) -> WorkerStatus:
        """Return the stream's status; never waits for the model."""
        with self.wake:
            return self.counters.status(self._state(), self._info, self.intake.waiting,
                                        self.desk.pending)

    # What follows is for the model's thread.

    def expire(self) -> None:
        """End the requests whose time is over; with the lock held."""
        self.desk.expire(self._stale())

    @property
    def has_calls(self) -> bool:
        """Whether a function is to be run; with the lock held."""
        return bool(self._calls)

    def due(self) -> tuple[bool, bool]:
        """Tell whether frames wait that may be taken, and whether answers; with the lock held."""
        frames = (bool(self.intake) and not self.desk.keeps_a_turn
                  and not self.engine.frames_must_wait)
        return frames, self.desk.due(self._newest_stamp())

    def question_waits(self) -> bool:
        """Tell whether a question can be opened; with the lock held."""
        return self.desk.is_ready(self._newest_stamp())

    def run_calls(self) -> None:
        """Run what is to be run between two turns."""
        with self.wake:
            calls, self._calls = self._calls, []
        for call in calls:
            call.run(self.engine)
            if self.engine.epoch != self._epoch:
                with self.wake:
                    self.intake.clear()
                self._end_answers_of_old_epoch()
            self._refresh()
            call.hand_over()

    def next_chunk(self) -> DueChunk | None:
        """Return the chunk that the next turn encodes, if frames enough wait for it."""
        with self.wake:
            waiting = self.intake.oldest(self.engine.ahead.lacking)
        return self.engine.ahead.chunk(waiting)

    def hold(self, chunk: DueChunk) -> None:
        """Let the frames of a chunk that is encoded wait for their turn, however many come."""
        with self.wake:
            self.intake.hold(chunk.waiting)

    def take_frames(self) -> None:
        """Append up to a chunk of waiting frames."""
        for _ in range(self.engine.settings.chunk_frames):
            if not append_next(self.engine, self.intake, self.wake):
                return
            self._refresh()
            self._end_answers_of_old_epoch()
            self._score_watches()

    def open_question(self) -> None:
        """Open the first question that is ready, if it still is."""
        with self.wake:
            request = self.desk.next_ready(self._newest_stamp())
        if request is not None:
            self.desk.open(request)
            self._score_watches()

    def tell_changes(self) -> None:
        """Say when the status has changed in kind since the last time."""
        self._refresh()
        with self.wake:
            now = (self._state(), self._info.epoch, self.counters.last_error)
        if now != self._told and self._on_change:
            self._on_change()
        self._told = now

    def end(self, error: StreamError, failed: bool = False) -> None:
        """Serve it no more: everything that is open ends with the error.

        Args:
            error: why.
            failed: it is a fault of the stream, which its status then shows.

        """
        with self.wake:
            if self.ended:
                return
            self.closed = self.ended = True
            self._failed = failed
            calls, self._calls = self._calls, []
            if failed:
                self.counters.fault(str(error))
            self.desk.end_all(error)
        for call in calls:
            call.fail(error)
        if failed and self._on_change:
            with contextlib.suppress(Exception):  # it may be what has failed
                self._on_change()

    def _state(self) -> str:
        if self._failed:
            return 'error'
        if self.paused:
            return 'paused'
        if self._stale():
            return 'stale'
        if self.desk.active:
            return 'answering'
        return 'streaming' if self._info.frames else 'waiting_for_images'

    def _stale(self) -> bool:
        return (self.stale_after > 0 and self._info.frames > 0
                and self.counters.silent_for(self.stale_after))

    def _newest_stamp(self) -> int:
        """Return what a request's ``after`` is met by: a frame taken, or one sampled out."""
        taken = self._info.stamp_ns
        return taken if self.intake else max(taken, self.intake.newest_stamp)

    def _refresh(self) -> None:
        with self.wake:
            self._info = self.engine.get_cache_info()
            self.intake.pending_frames = self._info.pending_frames
            self.counters.chunks_alone = self.engine.ahead.alone
            self.counters.chunks_together = self.engine.ahead.together

    def _score_watches(self) -> None:
        """Score the watches if frames were prefilled, and tell what has changed."""
        try:
            for event in self.engine.score_watches():
                if self._on_watch_event:
                    self._on_watch_event(event)
        except Exception as error:
            with self.wake:
                self.counters.fault(str(as_stream_error(error)))

    def _end_answers_of_old_epoch(self) -> None:
        if self.engine.epoch != self._epoch:
            self._epoch = self.engine.epoch
            self.desk.end_active(StreamError(
                ErrorCode.RESET_DURING_ANSWER,
                'The stream was reset while the answer was given; ask again.'))


def not_active() -> StreamError:
    """Return what a request is told that nobody will answer."""
    return StreamError(ErrorCode.NOT_ACTIVE, 'The stream is not running; start the node.')
