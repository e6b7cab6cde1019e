# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the worker's thread does: turns of frames and of answers, and calls between them."""

from __future__ import annotations

from collections.abc import Callable
import threading
import time
from typing import Any

from streamvlm_ros.engine.desk import AnswerDesk
from streamvlm_ros.engine.errors import as_stream_error, ErrorCode, StreamError
from streamvlm_ros.engine.inference import VideoStreamingInference
from streamvlm_ros.engine.intake import append_next, FrameIntake
from streamvlm_ros.engine.policy import Turn, Turns
from streamvlm_ros.engine.requests import Call, Request
from streamvlm_ros.engine.watch import WatchEvent
from streamvlm_ros.engine.worker_status import Counters, WorkerStatus


class WorkerLoop:
    """The loop of the worker's thread.  What others hand in goes through ``wake``, its lock.

    Attributes:
        wake: the lock of everything here but the engine; notified when there is work.
        intake, counters, turns, desk: for whoever holds the lock.
        paused: frames that come are left out.
        stale_after: seconds without a frame until the stream is stale; 0: never.

    """

    def __init__(self, engine: VideoStreamingInference, queue_frames: int, turns: Turns,
                 on_change: Callable[[], None] | None,
                 on_watch_event: Callable[[WatchEvent], None] | None) -> None:
        """Take the engine over; see ``StreamWorker``."""
        self.wake = threading.Condition()
        self.turns = turns
        self.counters = Counters()
        self.intake = FrameIntake(engine.settings, queue_frames, self.counters)
        self._engine = engine
        self._on_change = on_change
        self._on_watch_event = on_watch_event
        self.desk = AnswerDesk(engine.questions)
        self._calls: list[Call[Any]] = []
        self._info = engine.get_cache_info()
        self._epoch = engine.epoch
        self._stopping = False
        self._failed = False
        self.paused = False
        self.stale_after = 0.0

    def stop(self) -> None:
        """End ``run`` after the turn that it is in."""
        with self.wake:
            self._stopping = True
            self.wake.notify()

    def submit(self, work: Request | Call[Any]) -> None:
        """Take a request or a call in; without a running loop it fails with NOT_ACTIVE."""
        with self.wake:
            if self._stopping:
                work.fail(_not_active())
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

    def run(self) -> None:
        """Work until stopped; then end everything that is open."""
        seen = ('', -1, '')
        error: BaseException = _not_active()
        try:
            while self._wait_for_work():
                self._run_calls()
                self._take_turn()
                with self.wake:
                    self._refresh()
                    now = (self._state(), self._info.epoch, self.counters.last_error)
                if now != seen and self._on_change:
                    self._on_change()
                seen = now
        except Exception as fault:
            error = as_stream_error(fault)
            self._failed = True
            self.counters.fault(str(error))
            if self._on_change:
                self._on_change()
        with self.wake:
            self._stopping = True
            calls, self._calls = self._calls, []
            self.desk.end_all(error)
        for call in calls:
            call.fail(error)

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

    def _wait_for_work(self) -> bool:
        """Sleep until there is something to do; return False when it is time to stop."""
        with self.wake:
            while not self._stopping:
                self.desk.expire(self._stale())
                if self._calls or any(self._due()):
                    return True
                left = self.desk.deadline - time.perf_counter()
                self.wake.wait(None if left == float('inf') else max(0.0, left))
            return False

    def _due(self) -> tuple[bool, bool]:
        """Tell whether frames wait that may be taken, and whether answers wait."""
        frames = (bool(self.intake) and not self.desk.keeps_a_turn
                  and not self._engine.frames_must_wait)
        return frames, self.desk.due(self._newest_stamp())

    def _newest_stamp(self) -> int:
        """Return what a request's ``after`` is met by: a frame taken, or one sampled out."""
        taken = self._info.stamp_ns
        return taken if self.intake else max(taken, self.intake.newest_stamp)

    def _refresh(self) -> None:
        self._info = self._engine.get_cache_info()
        self.intake.pending_frames = self._info.pending_frames

    def _run_calls(self) -> None:
        with self.wake:
            calls, self._calls = self._calls, []
        for call in calls:
            call.run(self._engine)
            if self._engine.epoch != self._epoch:
                with self.wake:
                    self.intake.clear()
                self._end_answers_of_old_epoch()
            with self.wake:
                self._refresh()
            call.hand_over()

    def _take_turn(self) -> None:
        with self.wake:
            turn = self.turns.next(*self._due())
        began = time.perf_counter()
        if turn is Turn.FRAMES:
            self._take_frames()
        elif turn is Turn.ANSWERS:
            with self.wake:
                request = self.desk.next_ready(self._newest_stamp())
            if request is not None:
                self.desk.open(request)
                self._score_watches()
            self.desk.decode()
        if turn is not None:
            self.turns.spent(turn, time.perf_counter() - began)

    def _take_frames(self) -> None:
        """Append up to a chunk of waiting frames."""
        for _ in range(self._engine.settings.chunk_frames):
            if not append_next(self._engine, self.intake, self.wake):
                return
            with self.wake:
                self._refresh()
            self._end_answers_of_old_epoch()
            self._score_watches()

    def _score_watches(self) -> None:
        """Score the watches if frames were prefilled, and tell what has changed."""
        try:
            for event in self._engine.score_watches():
                if self._on_watch_event:
                    self._on_watch_event(event)
        except Exception as error:
            with self.wake:
                self.counters.fault(str(as_stream_error(error)))

    def _end_answers_of_old_epoch(self) -> None:
        if self._engine.epoch != self._epoch:
            self._epoch = self._engine.epoch
            self.desk.end_active(StreamError(
                ErrorCode.RESET_DURING_ANSWER,
                'The stream was reset while the answer was given; ask again.'))


def _not_active() -> StreamError:
    return StreamError(ErrorCode.NOT_ACTIVE, 'The stream is not running; start the node.')
