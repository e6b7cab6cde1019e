# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""SIGINT and SIGTERM, awaited by a thread of their own.

A handler of Python's is not enough: LLVM puts its own in the place of it when Triton compiles the
first kernel, and where another thread takes the signal the main one sleeps on. So all threads from
here on block the signals, and one waits for them; and for older threads, which do not block them,
it looks at what Python's handler writes to its wake-up socket.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable
import signal
import socket
import threading
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
PERIOD = 0.2  # seconds between two looks at the socket


class Stop(BaseException):
    """SIGINT or SIGTERM came; raised in the main thread wherever that is."""


class StopOnSignal:
    """Raises Stop in the main thread at the first signal, and ignores later ones.

    Use it in a `with` block, in the main thread, as early as can be.

    Attributes:
        wake: called after a signal, in another thread, to end the wait of the main thread.

    """

    def __init__(self) -> None:
        """Do not block signals yet."""
        self.wake: Callable[[], object] = bool
        self._over, self._stopped = threading.Event(), False
        self._thread = threading.Thread(target=self._wait, name='signals', daemon=True)
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def __enter__(self) -> StopOnSignal:
        """Begin to wait for signals."""
        self._handlers = [signal.signal(number, self._stop) for number in SIGNALS]
        self._woken = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Restore the handlers from before; if a signal has come, ignore further ones for good.

        The process takes seconds to end, and a second Ctrl-C must not interrupt that either.
        """
        self._over.set()
        if self._thread.is_alive() and self._thread.ident:
            signal.pthread_kill(self._thread.ident, signal.SIGTERM)
        self._thread.join()
        signal.set_wakeup_fd(self._woken)
        for number, handler in zip(SIGNALS, self._handlers):
            # To ignore a signal also drops a blocked one that is pending.
            signal.signal(number, signal.SIG_IGN if self._stopped else handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        self._reader.close()
        self._writer.close()

    def _wait(self) -> None:
        while not self._over.is_set():
            taken = signal.sigtimedwait(SIGNALS, PERIOD)
            if self._over.is_set():
                return
            if taken is not None:
                _thread.interrupt_main(signal.Signals(taken.si_signo))
            if taken is not None or self._is_handled():
                self.wake()
                return

    def _is_handled(self) -> bool:
        """Tell whether Python's handler has run, in whatever thread."""
        try:
            return bool(self._reader.recv(1))
        except BlockingIOError:
            return False

    def _stop(self, number: int, frame: FrameType | None) -> None:
        # One is enough, and a second Ctrl-C must not interrupt the shutdown.
        if not self._stopped:
            self._stopped = True
            raise Stop
