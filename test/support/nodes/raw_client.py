# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A client that sends requests as they are and returns responses as they come.

Tests send with it what streamvlm_ros.client would refuse. It is spun by the call that waits, so
that nothing happens between two calls.
"""

from __future__ import annotations

from collections.abc import Callable
import time
from types import TracebackType
from typing import Any, TYPE_CHECKING

from builtin_interfaces.msg import Time
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions

from streamvlm_ros import interrupts
from streamvlm_ros.errors import CommandError
from streamvlm_ros.msg import StreamStatus, WatchEvent
from streamvlm_ros.srv import AddWatch, Ask, AskChoice, LoadStream, RemoveWatch, SaveStream

if TYPE_CHECKING:
    from typing_extensions import Self

DISCOVERY_TIME = 5.0  # seconds to discover a running node
OPEN_CALLS = 64  # requests or replies under way at once
REPLY_MARGIN = 5.0  # seconds that a reply may take beyond the request's own timeout


class Client:
    """Talks to one streamvlm node; use it in a `with` block.

    Attributes:
        target: full name of the node.
        status: its newest status; None: not received yet.
        between: called between two callbacks while waiting; may raise.

    """

    def __init__(self, node: str = '/streamvlm', domain_id: int | None = None) -> None:
        """Join the graph.

        Args:
            node: the fully qualified name of the node to talk to.
            domain_id: ROS domain; None: as the environment says.

        """
        self.target = node.rstrip('/')
        self.status: StreamStatus | None = None
        self.context = Context()
        rclpy.init(
            context=self.context,
            domain_id=domain_id,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        self.node: Node = rclpy.create_node('streamvlm_client', context=self.context)
        self.between: Callable[[], object] = interrupts.check
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.node.create_subscription(
            StreamStatus, f'{self.target}/status', self._take_status, latched
        )
        self._clients: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def ask(
        self, question: str, *, timeout: float = 0.0, after: Time | None = None, **fields: Any
    ) -> Ask.Response:
        """Call `~/ask`; `fields` are those of the request.

        Raises:
            CommandError: no node serves it, or no reply came.

        """
        request = Ask.Request(question=question, timeout=timeout, after=after or Time(), **fields)
        return self.call(Ask, 'ask', request, timeout)

    def ask_choice(
        self, question: str, choices: list[str], *, timeout: float = 0.0, after: Time | None = None
    ) -> AskChoice.Response:
        """Call `~/ask_choice`; raises as `ask`."""
        request = AskChoice.Request(
            question=question, choices=choices, timeout=timeout, after=after or Time()
        )
        return self.call(AskChoice, 'ask_choice', request, timeout)

    def save(self, path: str) -> SaveStream.Response:
        """Call `~/save`; raises as `ask`."""
        return self.call(SaveStream, 'save', SaveStream.Request(path=path))

    def load(self, path: str) -> LoadStream.Response:
        """Call `~/load`; raises as `ask`."""
        return self.call(LoadStream, 'load', LoadStream.Request(path=path))

    def add_watch(self, question: str, choices: list[str], **fields: Any) -> AddWatch.Response:
        """Call `~/add_watch`; `fields` are those of the request; raises as `ask`."""
        request = AddWatch.Request(question=question, choices=choices, **fields)
        return self.call(AddWatch, 'add_watch', request)

    def remove_watch(self, name: str) -> RemoveWatch.Response:
        """Call `~/remove_watch`; raises as `ask`."""
        return self.call(RemoveWatch, 'remove_watch', RemoveWatch.Request(name=name))

    def events(self) -> list[WatchEvent]:
        """Subscribe to `~/events` and return a list that grows with every event."""
        events: list[WatchEvent] = []
        self.node.create_subscription(
            WatchEvent, f'{self.target}/events', events.append, QoSProfile(depth=OPEN_CALLS)
        )
        return events

    def is_served(self, name: str) -> bool:
        """Tell whether a service that was called before is still there."""
        return bool(self._clients[name].service_is_ready())

    def call(self, kind: Any, name: str, request: Any, timeout: float = 0.0) -> Any:
        """Call any service of the node and return the response; raises as `ask`."""
        return self.finish_call(name, self.start_call(kind, name, request), timeout)

    def finish_call(self, name: str, future: Any, timeout: float = 0.0) -> Any:
        """Wait for the response to what `start_call` has sent; raises as `ask`."""
        # A request without a timeout gets the node's, which is not known here.
        limit = timeout + REPLY_MARGIN if timeout else float('inf')
        alive = self._clients[name].service_is_ready
        self.wait_until(lambda: future.done() or not alive(), limit)
        if not future.done():
            why = 'did not reply in time' if alive() else 'has ended'
            raise CommandError(f'{self.target} {why}; look at its log.')
        return future.result()

    def start_call(self, kind: Any, name: str, request: Any) -> Any:
        """Send a request and return its future; raises CommandError if no node serves it."""
        if name not in self._clients:
            self._clients[name] = self.node.create_client(
                kind, f'{self.target}/{name}', qos_profile=QoSProfile(depth=OPEN_CALLS)
            )
        if not self.wait_until(self._clients[name].service_is_ready, DISCOVERY_TIME):
            raise CommandError(
                f'No node serves {self.target}/{name}; start one with `streamvlm run`, or check '
                'ROS_DOMAIN_ID and --node.'
            )
        return self._clients[name].call_async(request)

    def wait_until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Serve callbacks until the condition holds; return whether it did in time (seconds)."""
        deadline = time.monotonic() + timeout
        while not condition():
            self.between()
            left = deadline - time.monotonic()
            if left <= 0.0:
                return False
            self._executor.spin_once(timeout_sec=min(left, 0.1))
        return True

    def _take_status(self, message: StreamStatus) -> None:
        self.status = message
