# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""SIGINT and SIGTERM, awaited by a thread of their own.

A handler of Python's does not last: LLVM puts its own in the place of it when Triton compiles the
first kernel. Signals that all threads block and one waits for need no handler.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable
import signal
import threading
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop(BaseException):
    """SIGINT or SIGTERM came; raised in the main thread wherever that is."""


class StopOnSignal:
    """Has the first signal raise Stop in the main thread, and ignores the others.

    Use it in a `with` block, in the main thread, before any other thread is started.

    Attributes:
        wake: called behind a signal, by another thread, to end what the main thread waits for.

    """

    def __init__(self) -> None:
        """Take nothing yet."""
        self.wake: Callable[[], object] = bool
        self._over = False
        self._thread = threading.Thread(target=self._wait, name='signals', daemon=True)

    def __enter__(self) -> StopOnSignal:
        """Begin to wait for signals."""
        self._handlers = [signal.signal(number, _raise_stop) for number in SIGNALS]
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave signals to whom they belonged before."""
        self._over = True
        if self._thread.is_alive() and self._thread.ident:
            signal.pthread_kill(self._thread.ident, signal.SIGTERM)
        self._thread.join()
        for number, handler in zip(SIGNALS, self._handlers):
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _wait(self) -> None:
        number = signal.sigwait(SIGNALS)
        if not self._over:
            _thread.interrupt_main(signal.Signals(number))
            self.wake()


def _raise_stop(number: int, frame: FrameType | None) -> None:
    raise Stop
