# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The client's place in the ROS graph: a node of its own, and the thread that serves it.

Everything of rclpy is done in that thread. So any thread may use the client, and a callback of the
user's node may wait for an answer whatever executor it runs in: no executor spins inside another.
"""

from __future__ import annotations

import atexit
import collections
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
import contextlib
import threading
import time
from typing import Any, Protocol, TypeVar
import weakref

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from streamvlm_ros.errors import ErrorCode, NotActiveError

TICK = 0.1  # seconds between two looks at what is under way
IDLE = 1.0  # the same, while nothing is
CLOSE_TIME = 5.0  # seconds for goals and watches to be ended in the node when the client closes
T = TypeVar('T')
_open: weakref.WeakSet[Participant] = weakref.WeakSet()  # those that nobody has closed


class Work(Protocol):
    """Something under way. All of it is called in the participant's thread."""

    def step(self, now: float) -> bool:
        """Go on with it; return whether it is over. `now`: time.monotonic()."""

    def abandon(self) -> None:
        """End it soon, as the client closes."""

    def drop(self, error: Exception) -> None:
        """End it at once."""


class Participant:
    """A node beside the user's, with its thread.

    Attributes:
        node: rclpy's node.
        thread: serves it; ends with `close`, or when its context is shut down.
        domain_id: ROS domain.
        on_lost: is called at the end of the thread, when others have shut the context down.

    """

    def __init__(self, node: Node | None, domain_id: int | None) -> None:
        """Join the graph.

        Args:
            node: the user's, whose context is used; None: a context of its own is made, which
                leaves signals alone.
            domain_id: ROS domain of its own context; None: as the environment says.

        """
        self._owns_context = node is None
        if node is None:
            context = Context()
            rclpy.init(
                context=context,
                domain_id=domain_id,
                signal_handler_options=SignalHandlerOptions.NO,
            )
            self.node: Node = rclpy.create_node(
                'streamvlm_client', context=context, start_parameter_services=False
            )
        else:
            context = node.context
            # Arguments of the command line, such as __node:=, are meant for the user's node.
            self.node = rclpy.create_node(
                f'{node.get_name()}_streamvlm_client',
                context=context,
                namespace=node.get_namespace(),
                use_global_arguments=False,
                enable_rosout=False,
                start_parameter_services=False,
            )
        self._context = context
        self.domain_id: int = context.get_domain_id()
        self.on_lost: Callable[[], object] = lambda: None
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)
        self._works: list[Work] = []
        self._leftovers: collections.deque[Callable[[], object]] = collections.deque()
        self._lock = threading.Lock()
        self._is_closing = self._is_over = False
        self.thread = threading.Thread(target=self._serve, name='streamvlm_client', daemon=True)
        self.thread.start()
        _open.add(self)

    def close(self) -> None:
        """End what is under way, leave the graph, and end the thread. May be called again."""
        self.post(self._begin_closing)
        if threading.current_thread() is not self.thread:
            self.thread.join()

    def post(self, callback: Callable[..., object], *args: Any) -> bool:
        """Call something in the thread; return False if the client is closed."""
        with self._lock:
            if not self._is_over:
                self._executor.create_task(callback, *args)
            return not self._is_over

    def post_from_destructor(self, callback: Callable[[], object]) -> None:
        """Call something in the thread, within a second.

        A destructor may run in the midst of anything, so that no lock can be taken here.
        """
        self._leftovers.append(callback)

    def let_go(self) -> None:
        """Close within a second; for destructors, which cannot wait."""
        self._is_closing = True

    def start(self, work: Work) -> None:
        """Take up something; it is over at once where the client is closed."""
        if not self.post(self._start, work):
            work.drop(closed_error())

    def guarded(self, callback: Callable[..., object], what: str) -> Callable[..., None]:
        """Return a callback whose exceptions go to the log: they must not end the thread."""

        def call(*args: Any) -> None:
            try:
                callback(*args)
            except Exception as error:
                self.node.get_logger().error(f'{what} raised {type(error).__name__}: {error}')

        return call

    def _begin_closing(self) -> None:
        self._is_closing = True

    def _start(self, work: Work) -> None:
        if self._is_closing:
            work.drop(closed_error())
        elif not self._is_finished(work, time.monotonic()):
            self._works.append(work)

    @staticmethod
    def _is_finished(work: Work, now: float) -> bool:
        try:
            return work.step(now)
        except Exception as error:
            work.drop(error)
            return True

    def _serve(self) -> None:
        try:
            while not self._is_closing and self._context.ok():
                self._spin(TICK if self._works else IDLE)
            deadline = time.monotonic() + CLOSE_TIME
            for work in self._works:
                work.abandon()
            while self._works and self._context.ok() and time.monotonic() < deadline:
                self._spin(TICK)
        finally:
            is_lost = not self._context.ok()
            with self._lock:
                self._is_over = True
            for work in self._works:
                work.drop(closed_error())
            self._executor.shutdown()
            self.node.destroy_node()
            if self._owns_context:
                rclpy.try_shutdown(context=self._context)
            if is_lost:
                self.guarded(self.on_lost, 'Leaving the node')()

    def _spin(self, longest: float) -> None:
        """Serve one callback, and look at what is under way."""
        try:
            self._executor.spin_once(timeout_sec=longest)
            while self._leftovers:
                self._leftovers.popleft()()
            now = time.monotonic()
            self._works = [work for work in self._works if not self._is_finished(work, now)]
        except Exception as error:  # rclpy's own too, when the user's context is shut down
            if self._context.ok():
                self.node.get_logger().error(f'The client goes on after {error!r}.')
                time.sleep(TICK)


@atexit.register
def _close_all() -> None:
    """Close what a program has left open: no thread may be inside rclpy when Python ends."""
    for participant in list(_open):
        participant.close()


def closed_error() -> NotActiveError:
    """Return the error of what the client's end has ended."""
    return NotActiveError(
        ErrorCode.NOT_ACTIVE, 'The client is closed, or its ROS context was shut down.'
    )


def settle(future: Future[T], make: Callable[[], T]) -> None:
    """Give a future its result, or what making it raises, unless it was canceled."""
    with contextlib.suppress(InvalidStateError):
        try:
            future.set_result(make())
        except InvalidStateError:
            raise
        except Exception as error:
            future.set_exception(error)


def fail(future: Future[Any], error: Exception) -> None:
    """Give a future an error, unless it is done."""
    with contextlib.suppress(InvalidStateError):
        future.set_exception(error)
