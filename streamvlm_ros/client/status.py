# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node's status: the newest one, and waiting for one that meets a condition."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
import time
from typing import Any

from rclpy.qos import DurabilityPolicy, QoSProfile

from streamvlm_ros.client.calls import Calls
from streamvlm_ros.client.outputs import Status, status_of
from streamvlm_ros.client.participant import closed_error, fail, settle
from streamvlm_ros.msg import StreamStatus


class StatusBoard:
    """The newest status of one node.

    Attributes:
        newest: as it came last; None: not yet.

    """

    def __init__(self, calls: Calls) -> None:
        """Subscribe to it."""
        self.newest: Status | None = None
        self._calls = calls
        calls.participant.post(calls.participant.guarded(self._subscribe, 'The status'))

    def wait(
        self, condition: Callable[[Status], bool], limit: float, wanted: str
    ) -> Future[Status]:
        """Return the future of the first status from now on that meets a condition.

        The newest one that is known counts too. `wanted` says in the error what did not come.
        """
        waiting = _StatusWait(self, self._calls, condition, limit, wanted)
        self._calls.participant.start(waiting)
        return waiting.future

    def _subscribe(self) -> None:
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._calls.participant.node.create_subscription(
            StreamStatus, f'{self._calls.target}/status', self._take, latched
        )

    def _take(self, message: Any) -> None:
        self._calls.heard = time.monotonic()
        self.newest = status_of(message)


class _StatusWait:
    """Waits for a status."""

    def __init__(
        self,
        board: StatusBoard,
        calls: Calls,
        condition: Callable[[Status], bool],
        limit: float,
        wanted: str,
    ) -> None:
        self.future: Future[Status] = Future()
        self._board, self._calls = board, calls
        self._condition, self._limit, self._wanted = condition, limit, wanted
        self._deadline = time.monotonic() + limit
        self._seen: Status | None = None

    def step(self, now: float) -> bool:
        status = self._board.newest
        if status is not None and status is not self._seen:
            self._seen = status
            if self._condition(status):
                settle(self.future, lambda: status)
        if now > self._deadline and not self.future.done():
            if status is None:
                fail(self.future, self._calls.not_found('status'))
            else:
                fail(
                    self.future,
                    self._calls.no_reply(
                        f'is {status.state}, and {self._wanted} after {self._limit:g} s'
                    ),
                )
        return self.future.done()

    def abandon(self) -> None:
        self.drop(closed_error())

    def drop(self, error: Exception) -> None:
        fail(self.future, error)
