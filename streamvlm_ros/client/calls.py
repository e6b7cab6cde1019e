# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Requests to the services of a node, from finding it to its response."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
import math
import time
from typing import Any, Generic, TypeVar

from rclpy.qos import QoSProfile

from streamvlm_ros.client.participant import closed_error, fail, Participant, settle
from streamvlm_ros.errors import ErrorCode, NodeNotFoundError, NoReplyError

DISCOVERY_TIME = 5.0  # seconds to discover a running node
OPEN_CALLS = 64  # requests or replies under way at once
REPLY_MARGIN = 5.0  # seconds that a reply may take beyond the request's own timeout
# Seconds without a status, of which a node publishes one a second, until a request that has the
# node's own timeout is given up. A busy machine may hold a node up for long.
SILENCE = 60.0
T = TypeVar('T')


class Calls:
    """The services of one node.

    Attributes:
        target: full name of the node.
        participant: in whose thread everything happens.
        heard: time.monotonic() when the newest status came.

    """

    def __init__(self, participant: Participant, target: str) -> None:
        """Call nothing yet."""
        self.participant, self.target = participant, target
        self.heard = -math.inf
        self._clients: dict[str, Any] = {}

    def call(
        self, kind: Any, name: str, request: Any, decode: Callable[[Any], T], limit: float = 0.0
    ) -> Future[T]:
        """Send a request and return the future of what `decode` makes of the response.

        Args:
            kind: type of the service.
            name: of the service, below the node's.
            request: is sent.
            decode: returns the result, or raises the fault in the response.
            limit: seconds that a reply may take once the request is sent; 0: as long as the node
                lives.

        """
        call = Call(self, kind, name, request, decode, limit)
        self.participant.start(call)
        return call.future

    def client(self, kind: Any, name: str) -> Any:
        """Return rclpy's client of a service; in the participant's thread."""
        if name not in self._clients:
            self._clients[name] = self.participant.node.create_client(
                kind, f'{self.target}/{name}', qos_profile=QoSProfile(depth=OPEN_CALLS)
            )
        return self._clients[name]

    def is_silent(self, now: float, since: float) -> bool:
        """Tell whether no status has come for long, though something has waited `since`."""
        return now - max(self.heard, since) > SILENCE

    def not_found(self, name: str) -> NodeNotFoundError:
        """Return the error for a service, topic or action that no node serves."""
        return NodeNotFoundError(
            ErrorCode.NOT_ACTIVE,
            f'No node serves {self.target}/{name}; start one with `streamvlm run`, or check '
            "ROS_DOMAIN_ID and the node's name.",
        )

    def no_reply(self, why: str) -> NoReplyError:
        """Return the error for a node that does not answer what it has taken."""
        return NoReplyError(ErrorCode.TIMEOUT, f'{self.target} {why}; look at its log.')


class Waiting:
    """How long to wait for a node: to be found, to reply, and to show that it lives.

    Attributes:
        sent: time.monotonic() when something was sent; None: the node is not found yet.

    """

    def __init__(self, calls: Calls, name: str, limit: float) -> None:
        """Begin; `limit`: seconds for the reply, 0: as long as the node lives."""
        self.sent: float | None = None
        self._calls, self._name = calls, name
        self._limit = limit
        self._found_by = time.monotonic() + DISCOVERY_TIME

    def fault(self, now: float, is_served: bool) -> Exception | None:
        """Return why there will be no reply; None: wait on."""
        calls = self._calls
        if self.sent is None:
            late = not is_served and now > self._found_by
            return calls.not_found(self._name) if late else None
        if not is_served:
            return calls.no_reply('has ended')
        if self._limit and now - self.sent > self._limit:
            return calls.no_reply(f'did not reply within {self._limit:g} s')
        if not self._limit and calls.is_silent(now, self.sent):
            return calls.no_reply(f'has not shown for {SILENCE:g} s that it lives')
        return None


class Call(Generic[T]):
    """One request on its way.

    Attributes:
        future: of its result; may be canceled, then the response is not waited for.

    """

    def __init__(
        self,
        calls: Calls,
        kind: Any,
        name: str,
        request: Any,
        decode: Callable[[Any], T],
        limit: float,
    ) -> None:
        """Prepare it; the arguments are those of `Calls.call`."""
        self.future: Future[T] = Future()
        self._calls, self._kind, self._name = calls, kind, name
        self._request, self._decode = request, decode
        self._waiting = Waiting(calls, name, limit)
        self._response: Any = None  # rclpy's future

    def step(self, now: float) -> bool:
        """Send it once the node is found; end it when there will be no reply."""
        client = self._calls.client(self._kind, self._name)
        if not self.future.done():
            is_served = client.service_is_ready()
            if is_served and self._response is None:
                self._waiting.sent = now
                self._response = client.call_async(self._request)
                self._response.add_done_callback(self._take)
            fault = self._waiting.fault(now, is_served)
            if fault is not None:
                fail(self.future, fault)
        if self.future.done() and self._response is not None:
            client.remove_pending_request(self._response)
        return self.future.done()

    def abandon(self) -> None:
        """End it at once."""
        self.drop(closed_error())

    def drop(self, error: Exception) -> None:
        """End it at once."""
        fail(self.future, error)

    def _take(self, response: Any) -> None:
        settle(self.future, lambda: self._decode(response.result()))
