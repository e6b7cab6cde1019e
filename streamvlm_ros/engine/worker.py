# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The one thread that owns model, cache and accelerator.

Everybody else hands in frames and requests and returns at once.  Each round of the worker takes
at most a chunk of waiting frames, opens at most one question and decodes one token of every open
answer: asking never stops the stream, and streaming never starves an answer.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from concurrent.futures import Future
import threading
import time

import numpy as np
import torch

from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.inference import VideoStreamingInference
from streamvlm_ros.engine.intake import FrameIntake
from streamvlm_ros.engine.requests import as_stream_error, Request
from streamvlm_ros.engine.results import Answer
from streamvlm_ros.engine.worker_status import Counters, WorkerStatus


class StreamWorker:
    """Runs a ``VideoStreamingInference`` in a thread of its own."""

    def __init__(self, engine: VideoStreamingInference, *, queue_frames: int = 64,
                 on_change: Callable[[], None] | None = None) -> None:
        """Take the engine over; nobody else may call it from now on.

        Args:
            engine: the engine.
            queue_frames: frames that may wait; when one more comes the oldest is dropped.
            on_change: called from the worker's thread when the status has changed in kind.

        """
        self._engine = engine
        self._on_change = on_change
        self._wake = threading.Condition()
        self._requests: collections.deque[Request] = collections.deque()
        self._resets: list[Future[None]] = []
        self._active: list[Request] = []
        self._counters = Counters()
        self._intake = FrameIntake(engine.settings, queue_frames, self._counters)
        self._info = engine.get_cache_info()
        self._stopping = False
        self._failed = False
        self._thread = threading.Thread(target=self._run, name='streamvlm-worker', daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """End the thread; requests still open end with NOT_ACTIVE.  May be called again."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def submit_frame(self, image: np.ndarray, stamp_ns: int, frame_id: str = '') -> None:
        """Hand in a camera's frame, RGB uint8 [h, w, 3]; never blocks on the model."""
        with self._wake:
            self._intake.put(image, stamp_ns, frame_id)
            # Also for a frame sampled out: a request may wait for just its stamp.
            self._wake.notify()

    def count_failed(self, message: str = 'An image message could not be decoded.') -> None:
        """Count a message that did not become a frame, and why."""
        with self._wake:
            self._counters.arrived()
            self._counters.fault(message, failed=1)

    def ask(self, question: str, *, max_new_tokens: int = 128, update_state: bool = False,
            after_ns: int = 0, timeout: float = 0.0) -> Future[Answer]:
        """Ask in free text.

        Args:
            question: what to ask.
            max_new_tokens: longest answer.
            update_state: keep question and answer in the stream; it waits meanwhile.
            after_ns: answer only when a frame with this stamp or a later one was seen.
            timeout: seconds until the request ends with TIMEOUT; 0: never.

        Returns:
            A future of the answer; its exception is a StreamError.  Cancelling it ends the
            request.

        """
        return self._submit(Request(question, max_new_tokens=max_new_tokens,
                                    update_state=update_state, after_ns=after_ns,
                                    timeout=timeout))

    def ask_choice(self, question: str, choices: Sequence[str], *, after_ns: int = 0,
                   timeout: float = 0.0) -> Future[Answer]:
        """Ask for one of several choices; otherwise as ``ask``."""
        return self._submit(Request(question, choices=tuple(choices), is_choice=True,
                                    after_ns=after_ns, timeout=timeout))

    def reset(self) -> Future[None]:
        """Empty the stream and begin a new epoch; open answers end, waiting frames are dropped."""
        done: Future[None] = Future()
        with self._wake:
            if self._stopping:
                done.set_exception(_not_active())
            else:
                self._resets.append(done)
                self._wake.notify()
        return done

    def status(self) -> WorkerStatus:
        """Return the stream's status; never waits for the model."""
        with self._wake:
            return self._counters.status(self._state(), self._info,
                                         self._intake.waiting,
                                         len(self._requests) + len(self._active))

    def _submit(self, request: Request) -> Future[Answer]:
        with self._wake:
            if self._stopping or self._failed:
                request.fail(_not_active())
            else:
                self._requests.append(request)
                self._wake.notify()
        return request.future

    def _state(self) -> str:
        if self._failed:
            return 'error'
        if self._active:
            return 'answering'
        return 'streaming' if self._info.frames else 'waiting_for_images'

    def _run(self) -> None:
        seen = ('', -1, '')
        error: BaseException = _not_active()
        try:
            while self._wait_for_work():
                self._reset_if_asked()
                self._take_frames()
                self._open_next()
                self._decode()
                with self._wake:
                    self._info = self._engine.get_cache_info()
                    now = (self._state(), self._info.epoch, self._counters.last_error)
                if now != seen and self._on_change:
                    self._on_change()
                seen = now
        except Exception as fault:
            error = as_stream_error(fault)
            self._failed = True
            self._counters.fault(str(error))
            if self._on_change:
                self._on_change()
        with self._wake:
            left = [*self._active, *self._requests]
            self._active, resets, self._resets = [], self._resets, []
            self._requests.clear()
        for request in left:
            request.fail(error)
        for done in resets:
            done.set_exception(error)

    def _wait_for_work(self) -> bool:
        """Sleep until there is something to do; return False when it is time to stop."""
        with self._wake:
            while not self._stopping:
                self._drop_finished()
                if (self._active or self._resets or self._intake
                        or any(self._ready(request) for request in self._requests)):
                    return True
                until = min((request.deadline for request in self._requests),
                            default=float('inf'))
                left = until - time.perf_counter()
                self._wake.wait(None if left == float('inf') else max(0.0, left))
            return False

    def _drop_finished(self) -> None:
        """Take out requests that nobody waits for any more, and those whose time is over."""
        now = time.perf_counter()
        for request in [*self._active, *self._requests]:
            if now >= request.deadline:
                request.fail(StreamError(
                    ErrorCode.TIMEOUT, f'No answer within {request.timeout:g} s; give it more '
                    'time, or look at ~/status for what keeps the stream.'))
        self._active = [request for request in self._active if not request.future.done()]
        waiting = [request for request in self._requests if not request.future.done()]
        self._requests.clear()
        self._requests.extend(waiting)

    def _ready(self, request: Request) -> bool:
        """Tell whether a request's ``after`` is met: by a frame taken, or by one sampled out."""
        newest = self._info.stamp_ns if self._intake else max(
            self._info.stamp_ns, self._intake.newest_stamp)
        if newest < request.after_ns:
            return False
        if request.ready is None:
            request.ready = time.perf_counter()
        return True

    def _reset_if_asked(self) -> None:
        with self._wake:
            resets, self._resets = self._resets, []
            if not resets:
                return
            self._intake.clear()
        self._engine.reset()
        self._end_answers_of_old_epoch()
        for done in resets:
            done.set_result(None)

    def _take_frames(self) -> None:
        """Append up to a chunk of waiting frames, unless an answer is being kept."""
        if any(request.update_state for request in self._active):
            return
        for _ in range(self._engine.settings.chunk_frames):
            with self._wake:
                frame = self._intake.take()
            if frame is None:
                return
            epoch = self._engine.epoch
            fault: StreamError | None = None
            try:
                self._engine.append_frame(frame.image, frame.stamp_ns, frame.frame_id)
            except Exception as error:
                fault = as_stream_error(error)
            with self._wake:
                self._intake.taken(frame, fault)
                self._info = self._engine.get_cache_info()
            if self._engine.epoch != epoch:
                self._end_answers_of_old_epoch()

    def _end_answers_of_old_epoch(self) -> None:
        for request in self._active:
            request.fail(StreamError(ErrorCode.RESET_DURING_ANSWER,
                                     'The stream was reset while the answer was given; ask '
                                     'again.'))
        self._active = []

    def _open_next(self) -> None:
        """Open the first request that is ready; a choice is answered at once."""
        with self._wake:
            halted = any(request.update_state for request in self._active)
            request = next((request for request in self._requests if self._ready(request)
                            and not (halted and request.update_state)), None)
            if request is None:
                return
            self._requests.remove(request)
            self._active.append(request)
        try:
            if request.is_choice:
                request.finish(self._engine.answer_choice(request.question, request.choices,
                                                          began=request.ready))
            else:
                request.opened = self._engine.open_question(
                    request.question, request.max_new_tokens, request.update_state,
                    began=request.ready)
        except Exception as error:
            request.fail(error)

    def _decode(self) -> None:
        """Decode one token of every open answer, and hand over those that have ended."""
        for request in self._active:
            if request.opened is None or request.future.done():
                continue
            try:
                assert request.opened.answering is not None
                with torch.inference_mode():
                    ended = request.opened.answering.step()
                if ended:
                    request.finish(self._engine.close_question(request.opened))
            except Exception as error:
                request.fail(error)
        with self._wake:
            self._drop_finished()


def _not_active() -> StreamError:
    return StreamError(ErrorCode.NOT_ACTIVE, 'The stream is not running; start the node.')
