# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One stream as the model's thread serves it: its frames, its questions, its calls."""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import threading
import traceback
from typing import Any
import weakref

from streamvlm_ros.engine.errors import (
    as_stream_error,
    ErrorCode,
    StillReadError,
    StreamError,
)
from streamvlm_ros.engine.kvcache.pin import Pin
from streamvlm_ros.engine.questions.watches import WatchEvent
from streamvlm_ros.engine.serving.frame_queue import FrameQueue, QUEUE_BYTES
from streamvlm_ros.engine.serving.inference import VideoStreamingInference
from streamvlm_ros.engine.serving.metrics import Counters, Pulse, WorkerStatus
from streamvlm_ros.engine.serving.request import Call, Request
from streamvlm_ros.engine.serving.request_queue import RequestQueue
from streamvlm_ros.engine.stream.encoder_cache import PendingChunk
from streamvlm_ros.engine.stream.frames import Frame

# Faults of the program in a row, with nothing between them that succeeds, until the memory is
# emptied: what comes of it again and again may lie in it.
FAULTS_UNTIL_RESET = 3
MOST_LOGGED = 100  # different faults whose tracebacks are logged


class StreamSession:
    """What the model's thread does for one stream, and what others hand in for it.

    Nothing here knows of other streams, so that nothing that happens to one of them reaches
    another.

    Attributes:
        wake: the thread's lock, of everything here but the engine; notified when there is work.
        engine: the stream; for the model's thread only.
        model: what it runs on.
        frames, requests, counters: for whoever holds the lock.
        paused: frames that come are left out.
        stale_after: seconds without a frame until the stream is stale; 0: never.
        closed: nothing is taken in any more.

    """

    def __init__(
        self,
        engine: VideoStreamingInference,
        queue_frames: int,
        wake: threading.Condition,
        pulse: Pulse,
        log: Callable[[str], object],
        on_change: Callable[[], None] | None,
        on_watch_event: Callable[[WatchEvent], None] | None,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        """Take the engine over; see ``StreamWorker``."""
        self.wake = wake
        self.engine = engine
        self.model = engine.questions.model
        self._stream = engine.stream
        self.counters = Counters()
        self.frames = FrameQueue(engine.settings, queue_frames, self.counters, queue_bytes)
        self.requests = RequestQueue(engine.questions, self.request_fault)
        self.paused = False
        self.stale_after = 0.0
        self.closed = False
        self._pulse = pulse
        self._log = log
        self._on_change = on_change
        self._on_watch_event = on_watch_event
        self._calls: list[Call[Any]] = []
        self._info = engine.get_cache_info()
        self._epoch = engine.epoch
        self._told = ('', -1, '')
        self._faults = 0  # since something has last succeeded
        self._logged: set[str] = set()
        # Who read what the next chunk needs; until one of them has ended no frame is taken.
        self._blocked_by: tuple[weakref.ref[Pin], ...] = ()

    def submit(self, work: Request | Call[Any]) -> None:
        """Take a request or a call in; it fails with NOT_ACTIVE when nothing is any more."""
        with self.wake:
            if self.closed:
                work.fail(not_active())
                return
            if isinstance(work, Call):
                self._calls.append(work)
            else:
                self.requests.add(work)
            self.wake.notify()

    def status(self) -> WorkerStatus:
        """Return the stream's status; never waits for the model."""
        with self.wake:
            return self.counters.status(
                self._state(), self._info, self.frames.waiting, self.requests.pending, self._pulse
            )

    # What follows is for the model's thread.

    def expire(self) -> None:
        """End the requests whose time is over, and the wait of a frame; with the lock held."""
        self.requests.expire(self._stale())
        self.frames.release_overdue(self.stale_after)

    @property
    def deadline(self) -> float:
        """When ``expire`` has something to do, on ``time.perf_counter``; with the lock held."""
        return min(self.requests.deadline, self.frames.deadline(self.stale_after))

    @property
    def has_calls(self) -> bool:
        """Whether a function is to be run; with the lock held."""
        return bool(self._calls)

    def due(self) -> tuple[bool, bool]:
        """Tell whether frames wait that may be taken, and whether answers; with the lock held."""
        frames = bool(self.frames) and not self.requests.keeps_a_turn and not self._is_blocked()
        return frames, self.requests.due(self._newest_stamp())

    def question_waits(self) -> bool:
        """Tell whether a question can be prefilled; with the lock held."""
        return self.requests.is_ready(self._newest_stamp())

    def run_calls(self) -> None:
        """Run what is to be run between two turns."""
        if not self.has_calls:
            return
        self._refresh()  # before a call is taken: by this it is seen what the call has changed
        with self.wake:
            calls, self._calls = self._calls, []
        for call in calls:
            self._pulse.doing('a service other than a question')
            newest = self._info.stamp_ns
            try:
                call.run(self.engine)
                if call.error:
                    self.request_fault(call.error)
                self._refresh()
                if self.engine.epoch != self._epoch or self._info.stamp_ns != newest:
                    # A load may keep the epoch's number; what waits is of the stream before it.
                    with self.wake:
                        self.frames.begin(self._info.stamp_ns or None)
                        self.frames.pending_frames = self._info.pending_frames
                    self._end_answers_of_old_epoch()
            except BaseException as error:
                self.fault(error)
            finally:
                call.hand_over()

    def next_chunk(self) -> PendingChunk | None:
        """Return the chunk that the next turn encodes, if frames enough wait for it."""
        with self.wake:
            waiting = self.frames.oldest(self._stream.lacking)
        return self._stream.due_chunk(waiting)

    def hold(self, chunk: PendingChunk) -> None:
        """Let the frames of a chunk that is encoded wait for their turn, however many come."""
        with self.wake:
            self.frames.hold(chunk.waiting)

    def take_frames(self) -> None:
        """Append up to a chunk of waiting frames."""
        for _ in range(self.engine.settings.chunk_frames):
            with self.wake:
                frame = self.frames.take()
            if frame is None or not self._append(frame):
                return
            self._refresh()
            self._end_answers_of_old_epoch()
            self._score_watches()

    def prefill_question(self) -> None:
        """Prefill a piece of the first question that is begun or ready, if it still is."""
        with self.wake:
            request = self.requests.next_to_prefill(self._newest_stamp())
        if request is not None:
            self.requests.prefill(request)

    def hand_over(self) -> None:
        """Hand over what was decoded."""
        self.requests.hand_over()

    def tell_changes(self) -> None:
        """Say when the status has changed in kind since the last time."""
        self._refresh()
        with self.wake:
            now = (self._state(), self._info.epoch, self.counters.last_error)
        changed, self._told = now != self._told, now
        if changed and self._on_change:
            try:
                self._on_change()
            except BaseException as error:
                self.request_fault(error)

    def end(self, error: StreamError) -> None:
        """Serve it no more: everything that is open ends with the error."""
        with self.wake:
            self.closed = True
            calls, self._calls = self._calls, []
            self.requests.end_all(error)
        for call in calls:
            call.fail(error)

    def fault(self, error: BaseException) -> None:
        """Count a fault of the program, log its traceback once, and go on from a clean state.

        The stream keeps its memory where that is whole.  Where it is not, or faults come one
        after another with no frame taken between them, it is emptied.
        """
        self._faults += 1
        self._caught(error, empty=self._faults % FAULTS_UNTIL_RESET == 0)

    def request_fault(self, error: BaseException) -> None:
        """Look at what has ended a request: whether it is a fault, or has damaged the memory.

        However many come, the memory stays where it is whole.
        """
        if as_stream_error(error).code is ErrorCode.INTERNAL or not self._stream.is_consistent:
            self._caught(error, empty=False)

    def _caught(self, error: BaseException, empty: bool) -> None:
        text = str(as_stream_error(error))
        trace = ''.join(traceback.format_exception(error))
        with self.wake:
            self.counters.internal_faults += 1
            self.counters.fault(f'A fault of the program was caught: {text}')
        if trace not in self._logged and len(self._logged) < MOST_LOGGED:
            self._logged.add(trace)
            with contextlib.suppress(BaseException):
                self._log(f'A fault of the program was caught; please report it.\n{trace}')
        if empty or not self._stream.is_consistent:
            self._start_over(text)

    def _start_over(self, why: str) -> None:
        """Empty the memory, which a fault has damaged or which does not get over one."""
        self.engine.reset()
        with self.wake:
            self.counters.memory_losses += 1
            self.counters.fault(
                f'The memory was emptied after a fault of the program ({why}); '
                'the stream goes on from here.'
            )
        self._refresh()
        self._end_answers_of_old_epoch()

    def _append(self, frame: Frame) -> bool:
        """Append a frame and say what became of it; return False where it has to wait."""
        fault: StreamError | None = None
        for _ in range(2):
            taken = self.engine.frames_taken
            try:
                self._pulse.doing('taking a frame')
                enter(self.engine, self.frames, frame)
                fault = None
            except StillReadError:
                with self.wake:
                    self.frames.put_back(frame)
                self._blocked_by = tuple(weakref.ref(pin) for pin in self._stream.cache.readers)
                return False
            except BaseException as error:
                fault = as_stream_error(error)
                if fault.code is ErrorCode.INTERNAL or not self._stream.is_consistent:
                    self.fault(error)
                    if self.engine.frames_taken == taken:
                        continue  # once more: it may have been no fault of the frame's
                    fault = None
            break
        with self.wake:
            self.frames.taken(frame, fault)
            self.frames.pending_frames = len(self._stream.pending)
        if fault is None:
            self._faults = 0
        return True

    def _is_blocked(self) -> bool:
        """Tell whether all who kept the last frame from being taken still read."""
        pins = [ref() for ref in self._blocked_by]
        return bool(pins) and all(pin is not None and pin.open for pin in pins)

    def _state(self) -> str:
        if self._faults >= FAULTS_UNTIL_RESET:
            return 'error'
        if self.paused:
            return 'paused'
        if self._stale():
            return 'stale'
        if self.requests.active:
            return 'answering'
        return 'streaming' if self._info.frames else 'waiting_for_images'

    def _stale(self) -> bool:
        return (
            self.stale_after > 0
            and self._info.frames > 0
            and self.counters.silent_for(self.stale_after)
        )

    def _newest_stamp(self) -> int:
        """Return what a request's ``after`` is met by: a frame taken, or one sampled out."""
        taken = self._info.stamp_ns
        return taken if self.frames else max(taken, self.frames.newest_stamp)

    def _refresh(self) -> None:
        with self.wake:
            self._info = self.engine.get_cache_info()
            self.frames.pending_frames = self._info.pending_frames
            self.counters.chunks_alone = self._stream.chunks_alone
            self.counters.chunks_together = self._stream.chunks_together
            self.counters.watch_tokens = self.engine.standing.tokens
            self.counters.watch_seconds = self.engine.standing.seconds

    def _score_watches(self) -> None:
        """Score the watches if frames were prefilled, and tell what has changed."""
        self._pulse.doing('scoring watches')
        try:
            events = self.engine.standing.score()
        except BaseException as error:
            if as_stream_error(error).code is ErrorCode.INTERNAL:
                self.fault(error)
            else:
                with self.wake:
                    self.counters.fault(str(error))
            return
        tell = self._on_watch_event or (lambda event: None)
        for event in events:
            try:
                tell(event)
            except BaseException as error:
                self.request_fault(error)  # theirs who are told: nothing of it lies in the memory

    def _end_answers_of_old_epoch(self) -> None:
        if self.engine.epoch != self._epoch:
            self._epoch = self.engine.epoch
            self.requests.end_active(
                StreamError(
                    ErrorCode.RESET_DURING_ANSWER,
                    'The stream was reset while the answer was given; ask again.',
                )
            )


def enter(engine: VideoStreamingInference, queue: FrameQueue, frame: Frame) -> None:
    """Give the engine a frame that was taken; it is emptied first where stamps have gone back.

    Raises:
        StreamError: as ``VideoStreamingInference.append_frame``.

    """
    if frame.series != queue.series_in_stream:
        # Noted only once it is done: no frame of a new series must go on with the old epoch.
        if engine.newest_stamp_ns is not None:
            engine.reset()
        queue.series_in_stream = frame.series
    engine.append(frame)


def append_next(engine: VideoStreamingInference, queue: FrameQueue) -> bool:
    """Append the oldest waiting frame; what the engine refuses is counted as dropped, and why.

    Returns:
        Whether a frame was waiting.

    """
    frame = queue.take()
    if frame is None:
        return False
    fault: StreamError | None = None
    try:
        enter(engine, queue, frame)
    except Exception as error:
        fault = as_stream_error(error)
    queue.taken(frame, fault)
    queue.pending_frames = len(engine.stream.pending)
    return True


def not_active() -> StreamError:
    """Return what a request is told that nobody will answer."""
    return StreamError(ErrorCode.NOT_ACTIVE, 'The stream is not running; start the node.')
