# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Threads take turns at a model, in the order in which they come."""

from __future__ import annotations

import collections
import threading
from types import TracebackType

from streamvlm_ros.engine.runner.model_runner import PerModel


class FairLock:
    """A lock that is handed over in the order in which it was asked for.

    A thread that decodes takes the lock again right after it has let it go, for the next token.
    With a plain lock, threads that wait to append a frame would hardly ever get it.
    """

    def __init__(self) -> None:
        """Begin free."""
        self._guard = threading.Lock()
        self._taken = False
        self._owner = 0  # the thread that has it, once it knows
        self._line: collections.deque[threading.Lock] = collections.deque()

    def acquire(self, blocking: bool = True) -> bool:
        """Take the lock; wait in line for it, unless ``blocking`` is False."""
        with self._guard:
            if not self._taken:
                self._taken = True
                self._owner = threading.get_ident()
                return True
            if not blocking:
                return False
            place = threading.Lock()
            place.acquire()
            self._line.append(place)
        try:
            place.acquire()
        except BaseException:  # Ctrl-C while it waits
            with self._guard:
                left = place in self._line
                if left:
                    self._line.remove(place)
            if not left:  # it has just been handed over
                self._owner = threading.get_ident()
                self.release()
            raise
        self._owner = threading.get_ident()
        return True

    def release(self) -> None:
        """Hand the lock to the first in line, or leave it free.

        Raises:
            RuntimeError: this thread does not have it.

        """
        with self._guard:
            if self._owner != threading.get_ident():
                raise RuntimeError('This thread does not hold the lock.')
            self._owner = 0
            if self._line:
                self._line.popleft().release()
            else:
                self._taken = False

    def __enter__(self) -> FairLock:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


# Streams over one model take turns too: they share what it computes in.
LOCKS = PerModel(lambda model: FairLock())
