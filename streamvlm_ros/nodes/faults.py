# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Faults of the node's own program: caught, counted, logged once, and shown in `~/status`."""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import functools
import threading
import traceback
from typing import Any, ParamSpec, TypeVar

from streamvlm_ros.engine import ErrorCode, StreamError, WorkerStatus
from streamvlm_ros.nodes.texts import MOST_QUOTED, sentence

P = ParamSpec('P')
T = TypeVar('T')


class Faults:
    """Faults in one stream's callbacks, which a user cannot mend. Any thread may call this.

    Attributes:
        count: how many were caught.

    """

    def __init__(self, log: Callable[[str], object]) -> None:
        """Begin without faults.

        Args:
            log: takes the traceback of each kind of fault, once.

        """
        self.count = 0
        self._log = log
        self._lock = threading.Lock()
        self._logged: set[tuple[type[BaseException], str, int]] = set()
        self._newest = ''
        self._replaced: str | None = None  # the worker's last error at that time

    def caught(self, error: BaseException, where: str) -> StreamError:
        """Count a fault; return the sentence for the client that waits.

        Args:
            error: the exception.
            where: what has failed, as 'The service ~/ask'.

        """
        text = f'{type(error).__name__}: {sentence(str(error), MOST_QUOTED)}'
        told = (
            f'{where} failed because of a fault of the program ({text}); please report it with '
            "the traceback in the node's log."
        )
        with self._lock:
            self.count += 1
            self._newest, self._replaced = told, None
            frames = traceback.extract_tb(error.__traceback__)
            last = frames[-1] if frames else None
            kind = (
                type(error),
                last.filename if last else where,
                (last.lineno or 0) if last else 0,
            )
            is_new = kind not in self._logged
            self._logged.add(kind)
        if is_new:
            trace = ''.join(traceback.format_exception(error))
            self._log(f'{told} It is logged once:\n{trace}')
        return StreamError(ErrorCode.INTERNAL, told)

    def shield(self, function: Callable[P, T], where: str) -> Callable[P, T | None]:
        """Return a function that counts the exceptions of this one and raises none."""

        @functools.wraps(function)
        def shielded(*args: P.args, **kwargs: P.kwargs) -> T | None:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                self.caught(error, where)
                return None

        return shielded

    def in_status(self, status: WorkerStatus) -> WorkerStatus:
        """Return a worker's status with these faults besides its own.

        The newest one is the last error until the worker has a new one.
        """
        with self._lock:
            if not self.count:
                return status
            changes: dict[str, Any] = {'internal_faults': status.internal_faults + self.count}
            if self._newest and self._replaced in (None, status.last_error):
                self._replaced = status.last_error
                changes['last_error'] = self._newest
            else:
                self._newest = ''
            return dataclasses.replace(status, **changes)
