# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One stream as the model's thread serves it: its frames, its questions, its calls."""

from __future__ import annotations

from collections.abc import Callable
import threading
import time
from typing import Any, NamedTuple
import weakref

from streamvlm_ros.engine.errors import (
    as_stream_error,
    ErrorCode,
    StillReadError,
    StreamError,
)
from streamvlm_ros.engine.kvcache.cache import Reader
from streamvlm_ros.engine.questions.watch import WatchEvent
from streamvlm_ros.engine.serving.faults import FAULTS_UNTIL_RESET, StreamFaults
from streamvlm_ros.engine.serving.frame_queue import FrameQueue, QUEUE_BYTES
from streamvlm_ros.engine.serving.inference import VideoStreamingInference
from streamvlm_ros.engine.serving.metrics import Counters, WorkerStatus
from streamvlm_ros.engine.serving.request import Call, Request
from streamvlm_ros.engine.serving.request_queue import RequestQueue
from streamvlm_ros.engine.stream.encoder_cache import PendingChunk
from streamvlm_ros.engine.stream.frames import Frame


class Due(NamedTuple):
    """What one stream waits for: frames, answers, and among these a question's prefill."""

    frames: bool = False
    answers: bool = False
    question: bool = False


class StreamSession:
    """What the model's thread does for one stream, and what others hand in for it.

    It knows nothing of other streams, so that what happens to one stream does not reach another.

    Attributes:
        wake: the thread's lock: it guards everything here except the engine, and is notified when
            there is work.
        engine: the stream; only the model's thread calls it.
        model: what it runs on.
        frames, requests, counters: what waits, and what was counted; guarded by ``wake``.
        faults: what is done about faults of the program.
        paused: frames that come are left out.
        stale_after: seconds without a frame until the stream is stale; 0: never.
        closed: nothing is taken in any more.

    """

    def __init__(
        self,
        engine: VideoStreamingInference,
        queue_frames: int,
        wake: threading.Condition,
        doing: Callable[[str], object],
        log: Callable[[str], object],
        on_change: Callable[[], None] | None,
        on_watch_event: Callable[[WatchEvent], None] | None,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        """Take the engine over; see ``StreamWorker``.  ``doing`` is called with the activity."""
        self.wake = wake
        self.engine = engine
        self.model = engine.questions.model
        self._stream, self._watches = engine.stream, engine.standing
        self.counters = Counters()
        self.frames = FrameQueue(engine.settings, queue_frames, self.counters, queue_bytes)
        self.faults = StreamFaults(
            engine, self.counters, wake, log, self._end_answers_of_old_epoch
        )
        self.requests = RequestQueue(engine.questions, self.faults.ended_request)
        self.paused = False
        self.stale_after = 0.0
        self.closed = False
        self._doing = doing
        self._on_change = on_change
        self._on_watch_event = on_watch_event
        self._calls: list[Call[Any]] = []
        self._info = self._stream.info()
        self._epoch = self._stream.epoch
        self._told = ('', -1, '')
        # These readers hold what the next chunk needs; no frame is taken until one has ended.
        self._blocked_by: tuple[weakref.ref[Reader], ...] = ()

    def submit(self, work: Request | Call[Any]) -> None:
        """Take a request or a call; after ``end`` it fails with NOT_ACTIVE."""
        with self.wake:
            if self.closed:
                work.fail(not_active())
                return
            if isinstance(work, Call):
                self._calls.append(work)
            else:
                self.requests.add(work)
            self.wake.notify()

    def status(self, activity: tuple[str, float]) -> WorkerStatus:
        """Return the stream's status; never waits for the model.

        Args:
            activity: what the thread is doing, and for how many seconds.

        """
        with self.wake:
            return self.counters.status(
                self._state(), self._info, self.frames.waiting, self.requests.pending, activity
            )

    # Only the model's thread may call what follows.

    def look_around(self) -> None:
        """End requests whose time is over, note which are ready; with the lock held."""
        frames, requests = self.frames, self.requests
        if frames.doubtful is not None:
            frames.release_overdue(self.stale_after)
        if requests.waiting or requests.active:
            requests.expire(self._stale())
            requests.see(self._newest_stamp())

    @property
    def deadline(self) -> float:
        """When ``look_around`` has something to do, on ``time.perf_counter``; with the lock."""
        frames, requests = self.frames, self.requests
        return min(
            requests.deadline if requests.waiting else float('inf'),
            frames.deadline(self.stale_after) if frames.doubtful is not None else float('inf'),
        )

    @property
    def has_calls(self) -> bool:
        """Whether a function is to be run; with the lock held."""
        return bool(self._calls)

    def due(self) -> Due:
        """Return what waits and can be done now; with the lock held."""
        frames, requests = bool(self.frames.ready) and not self._is_blocked(), self.requests
        if not requests.waiting and not requests.active:
            return Due(frames)
        question = requests.is_ready(self._newest_stamp())
        return Due(
            frames and not requests.keeps_a_turn, bool(requests.active) or question, question
        )

    def run_calls(self) -> None:
        """Run the calls, between two turns."""
        with self.wake:
            self._refresh()  # so that a change by a call shows below
            calls, self._calls = self._calls, []
        for call in calls:
            self._doing('a service other than a question')
            newest = self._info.stamp_ns
            try:
                call.run(self.engine)
                if call.error:
                    self.faults.ended_request(call.error)
                with self.wake:
                    self._refresh()
                    if self._stream.epoch != self._epoch or self._info.stamp_ns != newest:
                        # A load may keep the number of the epoch.  What waits is for the old one.
                        self.frames.begin(self._info.stamp_ns or None)
                        self.frames.pending_frames = self._info.pending_frames
                self._end_answers_of_old_epoch()
            except BaseException as error:
                self.faults.caught(error)
            finally:
                call.hand_over()

    def next_chunk(self) -> PendingChunk | None:
        """Return the chunk that the next turn encodes, if enough frames wait for it."""
        with self.wake:
            waiting = self.frames.oldest(self._stream.lacking)
        return self._stream.due_chunk(waiting)

    def hold(self, chunk: PendingChunk) -> None:
        """Keep the waiting frames of a chunk that is encoded, however many more come."""
        with self.wake:
            self.frames.hold(chunk.waiting)

    def take_frames(self) -> None:
        """Append up to a chunk of waiting frames."""
        for _ in range(self.engine.settings.chunk_frames):
            with self.wake:
                frame = self.frames.take()
            if frame is None or not self._append(frame):
                return
            self._end_answers_of_old_epoch()
            if self._watches.tokens:
                self._score_watches()

    def prefill_question(self) -> None:
        """Prefill a piece of the first question that has begun or is ready, if there is one."""
        with self.wake:
            request = self.requests.next_to_prefill(self._newest_stamp())
        if request is not None:
            self.requests.prefill(request)

    def tell_changes(self) -> None:
        """Note the status, and report it if it has changed in kind."""
        with self.wake:
            self._refresh()
            now = (self._state(), self._info.epoch, self.counters.last_error)
        changed, self._told = now != self._told, now
        if changed and self._on_change:
            try:
                self._on_change()
            except BaseException as error:
                self.faults.ended_request(error)

    def end(self, error: StreamError) -> None:
        """Stop serving the stream: everything that is open ends with the error."""
        with self.wake:
            self.closed = True
            calls, self._calls = self._calls, []
            self.requests.end_all(error)
        for call in calls:
            call.fail(error)

    def _append(self, frame: Frame) -> bool:
        """Append a frame and count what became of it; return False if it has to wait."""
        fault: StreamError | None = None
        self._doing('taking a frame')
        for _ in range(2):
            try:
                enter(self.engine, self.frames, frame)
                fault = None
            except StillReadError:
                with self.wake:
                    self.frames.put_back(frame)
                self._blocked_by = tuple(map(weakref.ref, self._stream.cache.readers))
                return False
            except BaseException as error:
                fault = as_stream_error(error)
                if self.faults.is_fault(error):
                    taken = self._stream.newest is frame
                    self.faults.caught(error)
                    if not taken:
                        continue  # once more: the frame may not be what is wrong
                    fault = None
            break
        with self.wake:
            self.frames.taken(frame, fault)
            self.frames.pending_frames = len(self._stream.pending)
            if not self.frames.ready:
                self._refresh()  # a status without waiting frames must include the last one
        if fault is None:
            self.faults.in_a_row = 0
        return True

    def _is_blocked(self) -> bool:
        """Tell whether all readers that kept the last frame from being taken still read."""
        readers = [ref() for ref in self._blocked_by]
        return bool(readers) and all(each is not None and each.open for each in readers)

    def _state(self) -> str:
        if self.faults.in_a_row >= FAULTS_UNTIL_RESET:
            return 'error'
        if self.paused:
            return 'paused'
        if self._stale():
            return 'stale'
        if self.requests.active:
            return 'answering'
        return 'streaming' if self._info.frames else 'waiting_for_images'

    def _stale(self) -> bool:
        if self.stale_after <= 0 or not self._info.frames:
            return False
        arrivals = self.counters.arrivals  # none: a loaded stream, no camera yet
        return not arrivals or time.monotonic() - arrivals[-1] > self.stale_after

    def _newest_stamp(self) -> int:
        """Return the stamp that meets a request's ``after``: of a frame taken or sampled out."""
        taken = self._info.stamp_ns
        return taken if self.frames.ready else max(taken, self.frames.newest_stamp)

    def _refresh(self) -> None:
        """Note what the stream has now; with the lock held."""
        stream, counters = self._stream, self.counters
        self._info = stream.info()
        self.frames.pending_frames = self._info.pending_frames
        counters.chunks_alone = stream.chunks_alone
        counters.chunks_together = stream.chunks_together
        counters.watch_tokens = self._watches.tokens
        counters.watch_seconds = self._watches.seconds

    def _score_watches(self) -> None:
        """Score the watches if frames were prefilled, and report what has changed."""
        self._doing('scoring watches')
        with self.wake:
            self._refresh()
        try:
            events = self._watches.score()
        except BaseException as error:
            if as_stream_error(error).code is ErrorCode.INTERNAL:
                self.faults.caught(error)
            else:
                with self.wake:
                    self.counters.fault(str(error))
            return
        tell = self._on_watch_event or (lambda event: None)
        for event in events:
            try:
                tell(event)
            except BaseException as error:
                self.faults.ended_request(error)

    def _end_answers_of_old_epoch(self) -> None:
        if self._stream.epoch != self._epoch:
            self._epoch = self._stream.epoch
            with self.wake:
                self._refresh()
            self.requests.end_active(
                StreamError(
                    ErrorCode.RESET_DURING_ANSWER,
                    'The stream was reset while the answer was given; ask again.',
                )
            )


def enter(engine: VideoStreamingInference, queue: FrameQueue, frame: Frame) -> None:
    """Give the engine a frame from the queue; reset it first if the stamps have gone back.

    Raises:
        StreamError: as ``FrameStream.append``.

    """
    if frame.series != queue.series_in_stream:
        # Noted only after the reset: if that fails, the next frame tries it again.
        if engine.stream.newest is not None:
            engine.reset()
        queue.series_in_stream = frame.series
    engine.stream.append(frame)


def not_active() -> StreamError:
    """Return the error of a request that comes when the stream is not served."""
    return StreamError(ErrorCode.NOT_ACTIVE, 'The stream is not running; start the node.')
