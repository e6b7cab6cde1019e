# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One stream's way to the one thread that owns model, caches and accelerator.

All other threads hand in frames and requests, and return at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
import logging
import math
import time
from typing import TypeVar

import numpy as np

from streamvlm_ros import checks
from streamvlm_ros.answer_settings import AnswerSettings
from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.outputs import Answer
from streamvlm_ros.engine.questions.watch import Watch, WatchEvent
from streamvlm_ros.engine.serving.engine_loop import EngineLoop
from streamvlm_ros.engine.serving.frame_queue import QUEUE_BYTES
from streamvlm_ros.engine.serving.inference import VideoStreamingInference
from streamvlm_ros.engine.serving.metrics import WorkerStatus
from streamvlm_ros.engine.serving.request import Call, Request
from streamvlm_ros.engine.serving.session import StreamSession
from streamvlm_ros.engine.store.jobs import FileJob, FileJobs
from streamvlm_ros.engine.store.place import Where
from streamvlm_ros.engine.stream.saving.loaded_stream import read_stream
from streamvlm_ros.engine.stream.saving.saved_stream import SavedStream, write_stream
from streamvlm_ros.view import View, ViewName

T = TypeVar('T')
LOG = logging.getLogger(__name__)


class StreamWorker:
    """Runs a ``VideoStreamingInference`` in a thread of its own, or in one with others."""

    def __init__(
        self,
        engine: VideoStreamingInference,
        *,
        queue_frames: int = 64,
        queue_bytes: int = QUEUE_BYTES,
        policy: str = 'frames_first',
        on_change: Callable[[], None] | None = None,
        on_watch_event: Callable[[WatchEvent], None] | None = None,
        log: Callable[[str], object] = LOG.error,
        beside: StreamWorker | None = None,
    ) -> None:
        """Take the engine over; only the worker may call it from now on.

        Args:
            engine: the engine.
            queue_frames: frames that may wait; when one more comes the oldest whole temporal
                patch (two frames) is dropped.
            queue_bytes: bytes of their images; likewise, except that one may always wait.
            policy: what goes first, see ``scheduler.Policy``; that of ``beside``, if there is one.
            on_change: called from the worker's thread when the status has changed in kind.
            on_watch_event: called from the worker's thread when a watch's answer has changed.
            log: called with the traceback of a fault of the program, once for each different one.
            beside: another stream with the same model, whose thread is to serve this one too;
                both are started, stopped and given a policy together.  None: a thread of its own.

        Raises:
            StreamError: INVALID_REQUEST; there is no such policy.
            ValueError: ``beside`` has another model.

        """
        self._thread: EngineLoop = beside._thread if beside else EngineLoop(policy)
        self._session = StreamSession(
            engine,
            queue_frames,
            self._thread.wake,
            self._thread.pulse.doing,
            log,
            on_change,
            on_watch_event,
            queue_bytes,
        )
        self._thread.add(self._session)
        self._files: FileJobs = beside._files if beside else FileJobs()

    def start(self) -> None:
        """Start the thread, for all streams that it serves."""
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> bool:
        """End the thread, for all streams that it serves; see ``EngineLoop.stop``.

        A stream that is being saved is saved as a whole or not at all, and one that is being
        loaded likewise; their futures get a result or an error.
        """
        began = time.monotonic()
        self._files.stop()
        ended = self._thread.stop(timeout)
        self._files.join(max(0.0, timeout - (time.monotonic() - began)))
        return ended

    def submit_frame(self, image: np.ndarray, stamp_ns: int, frame_id: str = '') -> None:
        """Hand in a camera's frame, RGB uint8 [h, w, 3]; never blocks on the model."""
        with self._session.wake:
            if self._session.paused:
                self._session.frames.count_left_out()
                return
            self._session.frames.put(image, stamp_ns, frame_id)
            # Also for a frame sampled out: a request may wait for just its stamp.
            self._session.wake.notify()

    def leave_out(self, stamp_ns: int) -> bool:
        """Count a frame that ``submit_frame`` would not take, before it is decoded.

        Returns:
            Whether it is left out: the stream is paused, sampling leaves it out, or its stamp is
            late or of no use.

        """
        with self._session.wake:
            if self._session.paused:
                self._session.frames.count_left_out()
                return True
            left_out = self._session.frames.leave_out(stamp_ns)
            if left_out:
                # A request may wait for just its stamp.
                self._session.wake.notify()
            return left_out

    def count_dropped(self, message: str) -> None:
        """Count a message that was dropped before it became a frame, and why."""
        with self._session.wake:
            self._session.frames.count_lost(message, dropped=1)

    def count_failed(self, message: str = 'An image message could not be decoded.') -> None:
        """Count a message that did not become a frame, and why."""
        with self._session.wake:
            self._session.frames.count_lost(message, failed=1)

    def ask(
        self,
        question: str,
        *,
        max_new_tokens: int = 128,
        update_state: bool = False,
        settings: AnswerSettings | None = None,
        view: View | ViewName = 'memory',
        return_frames: bool = False,
        after_ns: int = 0,
        timeout: float = 0.0,
        is_goal: bool = False,
        on_progress: Callable[[Answer], None] | None = None,
    ) -> Future[Answer]:
        """Ask in free text.

        A question with ``update_state`` has its place in the stream, which waits from its opening
        until its turn is kept.  Questions opened meanwhile are answered from the stream before
        it; the next one with ``update_state`` waits.  If it fails, nothing of it is kept.

        Args:
            question: what to ask.
            max_new_tokens: longest answer.
            update_state: keep question and answer in the stream.
            settings: how its tokens are chosen; None: as the model says.
            view: what it looks at.
            return_frames: give the frames that were read for it (``Answer.images``).
            after_ns: answer only when a frame with this stamp or a later one was seen.
            timeout: seconds until the request ends with TIMEOUT; 0: never.  It is STALE_STREAM
                if frames have stopped coming before the one that ``after_ns`` wants.
            is_goal: one of those of which ``set_max_goals`` limits how many are answered at once.
            on_progress: called from the worker's thread with the answer so far, every 0.1 s.

        Returns:
            A future of the answer; its exception is a StreamError.  Cancelling it ends the
            request and frees its memory.

        Raises:
            StreamError: INVALID_REQUEST; the timeout is not a duration, or there is no such view.

        """
        _check_timeout(timeout)
        request = Request(
            question,
            max_new_tokens=max_new_tokens,
            update_state=update_state,
            settings=settings,
            view=View.of(view),
            return_frames=return_frames,
            after_ns=after_ns,
            timeout=timeout,
            is_goal=is_goal,
            on_progress=on_progress,
        )
        return self._submit(request)

    def ask_choice(
        self,
        question: str,
        choices: Sequence[str],
        *,
        view: View | ViewName = 'memory',
        return_frames: bool = False,
        after_ns: int = 0,
        timeout: float = 0.0,
        is_goal: bool = False,
    ) -> Future[Answer]:
        """Ask for one of several choices; otherwise as ``ask``."""
        _check_timeout(timeout)
        request = Request(
            question,
            tuple(checks.several('choices', choices)),
            is_choice=True,
            view=View.of(view),
            return_frames=return_frames,
            after_ns=after_ns,
            timeout=timeout,
            is_goal=is_goal,
        )
        return self._submit(request)

    def watch(
        self,
        question: str,
        choices: Sequence[str],
        *,
        threshold: float = 0.7,
        hold: int = 2,
        name: str = '',
        view: View | ViewName = 'memory',
    ) -> Future[Watch]:
        """Add a standing question; see ``VideoStreamingInference.watch``."""
        return self.call(
            lambda engine: engine.watch(
                question, choices, threshold=threshold, hold=hold, name=name, view=view
            )
        )

    def unwatch(self, name: str) -> Future[None]:
        """Remove a standing question."""
        return self.call(lambda engine: engine.unwatch(name))

    def watches(self) -> Future[tuple[Watch, ...]]:
        """List the standing questions with the answers that hold."""
        return self.call(lambda engine: engine.watches())

    def reset(self) -> Future[None]:
        """Empty the stream and begin a new epoch; open answers end, waiting frames are dropped."""
        return self.call(lambda engine: engine.reset())

    def save(self, where: Where) -> Future[SavedStream]:
        """Write the stream to a file; see ``VideoStreamingInference.save``.

        The model's thread copies it, between two turns; the rest is done beside.

        Returns:
            A future of what was saved; its exception is a StreamError: BUSY while the stream is
            being saved or loaded already.

        """

        def work(job: FileJob[SavedStream]) -> SavedStream:
            copy = self.call(lambda engine: engine.saver.copy()).result()
            return write_stream(where, copy, job.check, job.commit)

        return self._files.start(self._session, work)

    def load(self, where: Where) -> Future[SavedStream]:
        """Go on with a saved stream; see ``VideoStreamingInference.load``.

        The file is read and checked beside the model's thread, which then puts it in place
        between two turns: open answers end, waiting frames are dropped.

        Returns:
            As ``save``, of what was loaded.

        """

        def work(job: FileJob[SavedStream]) -> SavedStream:
            bounds = self.call(lambda engine: engine.saver.bounds).result()
            loaded = read_stream(where, bounds, job.check)
            job.commit()
            return self.call(lambda engine: engine.go_on_with(loaded)).result()

        return self._files.start(self._session, work)

    def call(self, function: Callable[[VideoStreamingInference], T]) -> Future[T]:
        """Run a function of the engine in the worker's thread, before its next turn.

        If it begins a new epoch, open answers end and waiting frames are dropped.

        Returns:
            A future of its result; its exception is a StreamError.

        """
        return self._submit(Call(function))

    def _submit(self, work: Call[T] | Request) -> Future[T]:
        self._session.submit(work)
        return work.future

    def set_policy(self, name: str) -> None:
        """Change what goes first in the thread; see ``EngineLoop.set_policy``."""
        self._thread.set_policy(name)

    def set_max_goals(self, number: int) -> None:
        """Answer at most ``number`` goals at once from now on; others wait."""
        with self._session.wake:
            self._session.requests.max_goals = number
            self._session.wake.notify()

    @property
    def paused(self) -> bool:
        """Whether frames that come are left out; questions are answered all the same."""
        return self._session.paused

    def set_paused(self, paused: bool) -> None:
        """Leave out frames from now on (no request's ``after_ns`` sees them), or take them."""
        with self._session.wake:
            self._session.paused = paused

    def set_stale_after(self, seconds: float) -> None:
        """Call the stream stale if it has frames and gets none for ``seconds``; 0: never."""
        with self._session.wake:
            self._session.stale_after = seconds
            self._session.wake.notify()

    def set_sample_rate(self, hz: float) -> None:
        """Take ``hz`` frames a second of what comes from now on; 0: every frame.

        By their stamps, or by their arrival if time_source is uniform.

        Raises:
            StreamError: INVALID_REQUEST for a rate that ``check_sample_rate`` refuses.

        """
        with self._session.wake:
            self._session.frames.set_sample_rate(hz)
        self.call(lambda engine: engine.set_sample_rate(hz))

    def status(self) -> WorkerStatus:
        """Return the stream's status; never waits for the model."""
        return self._session.status(self._thread.pulse.read())


def _check_timeout(seconds: float) -> None:
    if not 0 <= checks.number('timeout', seconds) < math.inf:
        wrong = f'The timeout is {seconds} s; give 0 (none) or a number of seconds above it.'
        raise StreamError(ErrorCode.INVALID_REQUEST, wrong)
