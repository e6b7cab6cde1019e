# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Work on files in other threads than the model's, which never waits for a disk."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future, InvalidStateError
import contextlib
import threading
import time
from typing import Any, Generic, TypeVar

from streamvlm_ros.engine.errors import as_stream_error, ErrorCode, StreamError

T = TypeVar('T')


class FileJob(Generic[T]):
    """One piece of work, and the future of its result.

    Attributes:
        future: gets the result or a StreamError.

    """

    def __init__(self, work: Callable[[FileJob[T]], T], stopping: threading.Event) -> None:
        """Take the work; it is called with this job."""
        self.future: Future[T] = Future()
        self._work, self._stopping = work, stopping

    def check(self) -> None:
        """Raise if the work is not wanted any more.

        Raises:
            StreamError: NOT_ACTIVE; the caller has cancelled, or the worker is stopped.

        """
        if self._stopping.is_set() or self.future.cancelled():
            raise stopped()

    def commit(self) -> None:
        """Begin the part that cannot be undone; from now on the caller cannot cancel.

        Raises:
            StreamError: as ``check``.

        """
        self.check()
        if not self.future.set_running_or_notify_cancel():
            raise stopped()

    def run(self) -> Callable[[], None]:
        """Do the work; return a function that sets the future."""
        try:
            result = self._work(self)
        except BaseException as error:
            fault = as_stream_error(error)
            return lambda: self.fail(fault)
        return lambda: self._finish(result)

    def fail(self, error: StreamError) -> None:
        """End it with an error, unless it has ended."""
        with contextlib.suppress(InvalidStateError):
            self.future.set_exception(error)

    def _finish(self, result: T) -> None:
        with contextlib.suppress(InvalidStateError):
            self.future.set_result(result)


class FileJobs:
    """Threads that read and write, at most one at a time for each owner."""

    def __init__(self) -> None:
        """Begin without any work."""
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._running: dict[Hashable, tuple[FileJob[Any], threading.Thread]] = {}

    def start(self, owner: Hashable, work: Callable[[FileJob[T]], T]) -> Future[T]:
        """Do some work in a new thread.

        Returns:
            A future of its result; its exception is a StreamError: BUSY if work for this owner is
            under way, NOT_ACTIVE once stopped.

        """
        job: FileJob[T] = FileJob(work, self._stopping)
        thread = threading.Thread(
            target=self._run, args=(owner, job), name='streamvlm-file', daemon=True
        )
        with self._lock:
            if self._stopping.is_set():
                job.fail(stopped())
            elif owner in self._running:
                job.fail(
                    StreamError(
                        ErrorCode.BUSY,
                        'The stream is being saved or loaded already; ask again when '
                        'that is done.',
                    )
                )
            else:
                try:
                    thread.start()
                    self._running[owner] = job, thread
                except RuntimeError as error:  # no more threads
                    job.fail(as_stream_error(error))
        return job.future

    def stop(self) -> None:
        """Take no more work, and end the work under way at its next piece."""
        with self._lock:
            self._stopping.set()

    def join(self, timeout: float) -> None:
        """Wait until all work has ended; answer the rest with NOT_ACTIVE."""
        deadline = time.monotonic() + timeout
        with self._lock:
            running = list(self._running.values())
        for job, thread in running:
            thread.join(max(0.0, deadline - time.monotonic()))
            job.fail(stopped())

    def _run(self, owner: Hashable, job: FileJob[Any]) -> None:
        tell = job.run()
        # Before the future is set: its callbacks may start more work at once.
        with self._lock:
            del self._running[owner]
        tell()


def stopped() -> StreamError:
    """Return the error of a job whose stream is not served any more."""
    return StreamError(
        ErrorCode.NOT_ACTIVE, 'The stream is not active any more; nothing was saved or loaded.'
    )
