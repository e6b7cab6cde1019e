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
from streamvlm_ros.engine.errors import as_stream_error

MAX_PENDING = 32  # requests; more than that would only wait for their time-outs
T = TypeVar('T')


class Gate:
    """Hands requests to the worker, and lets coroutines await what comes of them."""

    def __init__(self, wake: Callable[[], None], log: Callable[[str], Any]) -> None:
        """Begin closed.

        Args:
            wake: wakes the executor; any thread may call it.
            log: is told of faults of the program.

        """
        self._wake, self._log = wake, log
        self._lock = threading.Lock()
        self._worker: StreamWorker | None = None
        self._why_closed = ''
        self._open: set[ConcurrentFuture[Any]] = set()

    @property
    def open_requests(self) -> int:
        """How many requests have no answer yet."""
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
            for future in self._open:
                future.cancel()

    async def result(self, submit: Callable[[StreamWorker], ConcurrentFuture[T]]) -> T:
        """Hand a request to the worker and await its result.

        Raises:
            StreamError: the request's fault, whatever it was.

        """
        try:
            with self._lock:
                future = self._submit(submit)
            try:
                await awaitable(future, self._wake)
                return future.result()
            finally:
                self._open.discard(future)
        except CancelledError:
            raise StreamError(ErrorCode.NOT_ACTIVE, self._why_closed) from None
        except StreamError:
            raise
        except Exception as error:
            self._log(f'A request failed: {error!r}')
            raise as_stream_error(error) from error

    def _submit(
        self, submit: Callable[[StreamWorker], ConcurrentFuture[T]]
    ) -> ConcurrentFuture[T]:
        if self._worker is None:
            raise StreamError(ErrorCode.NOT_ACTIVE, self._why_closed)
        if len(self._open) >= MAX_PENDING:
            raise StreamError(
                ErrorCode.BUSY, f'{MAX_PENDING} requests are waiting already; ask again later.'
            )
        future = submit(self._worker)
        self._open.add(future)
        return future


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
