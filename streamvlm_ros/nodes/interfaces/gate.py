# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The way of every request to the worker: open while the node is active, bounded, awaited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from concurrent.futures import Future as ConcurrentFuture
import threading
from typing import Any, TypeVar

from rclpy.task import Future

from streamvlm_ros.engine import ErrorCode, StreamError, StreamWorker
from streamvlm_ros.nodes.faults import Faults

MAX_PENDING = 32  # requests of a kind; more than that would only wait for their time-outs
T = TypeVar('T')
Submission = Callable[[StreamWorker], 'ConcurrentFuture[T]']


class Gate:
    """Hands requests to the worker, and lets coroutines await their results.

    Requests of each kind have their own places (`places`): a reset has one, even if many questions
    wait.
    """

    def __init__(self, wake: Callable[[], None], faults: Faults) -> None:
        """Begin closed.

        Args:
            wake: wakes the executor; any thread may call it.
            faults: counts faults of the program.

        """
        self._wake, self._faults = wake, faults
        self._lock = threading.Lock()
        self._worker: StreamWorker | None = None
        self._why_closed = ''
        self._open: set[ConcurrentFuture[Any]] = set()

    @property
    def open_requests(self) -> int:
        """How many requests of all kinds have no answer yet."""
        return len(self._open)

    @property
    def is_open(self) -> bool:
        """Whether requests are taken."""
        return self._worker is not None

    def open(self, worker: StreamWorker) -> None:
        """Take requests from now on."""
        with self._lock:
            self._worker = worker

    def close(self, why: str) -> None:
        """Refuse requests from now on, and end those that are open, with NOT_ACTIVE."""
        with self._lock:
            self._worker, self._why_closed = None, why
            unanswered = list(self._open)
        for future in unanswered:
            future.cancel()

    def places(self, number: int = MAX_PENDING) -> Places:
        """Return places for this many requests, which other requests do not take."""
        return Places(self, number)

    def worker(self) -> StreamWorker:
        """Return the worker, for what is done at once.

        Raises:
            StreamError: NOT_ACTIVE.

        """
        worker = self._worker
        if worker is None:
            raise StreamError(ErrorCode.NOT_ACTIVE, self._why_closed)
        return worker

    async def result(self, submit: Submission[T], taken: set[ConcurrentFuture[Any]]) -> T:
        """Hand a request to the worker and await its result.

        Args:
            submit: hands it over.
            taken: the places of its kind; the request is there until it is answered.

        Raises:
            StreamError: the request's fault, whatever it was.

        """
        try:
            with self._lock:
                future = submit(self.worker())
                self._open.add(future)
                taken.add(future)
            try:
                await awaitable(future, self._wake)
                return future.result()
            finally:
                with self._lock:
                    self._open.discard(future)
                    taken.discard(future)
        except CancelledError:
            raise StreamError(ErrorCode.NOT_ACTIVE, self._why_closed) from None
        except StreamError:
            raise
        except Exception as error:
            raise self._faults.caught(error, 'The request') from error


class Places:
    """Room for some requests of one kind to wait in."""

    def __init__(self, gate: Gate, number: int) -> None:
        """Begin with all of them free."""
        self._gate, self._number = gate, number
        self._taken: set[ConcurrentFuture[Any]] = set()

    @property
    def is_open(self) -> bool:
        """Whether requests are taken at all."""
        return self._gate.is_open

    @property
    def taken(self) -> int:
        """How many requests have no answer yet."""
        return len(self._taken)

    async def result(self, submit: Submission[T]) -> T:
        """Hand a request to the worker and await its result.

        Raises:
            StreamError: BUSY, as no place is free, or the request's fault, whatever it was.

        """
        if self.is_open and self.taken >= self._number:
            raise StreamError(
                ErrorCode.BUSY, f'{self._number} requests are waiting already; ask again later.'
            )
        return await self._gate.result(submit, self._taken)


def awaitable(future: ConcurrentFuture[Any], wake: Callable[[], None]) -> Awaitable[None]:
    """Return what a coroutine of rclpy can await until a future of another thread is done.

    Works the same in every rclpy since Humble's: it is completed in the other thread, and `wake`
    then makes the executor look at it.
    """
    done: Future[None] = Future()

    def complete(_: ConcurrentFuture[Any]) -> None:
        done.set_result(None)
        wake()

    future.add_done_callback(complete)
    return done
