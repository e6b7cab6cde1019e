# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Lifecycle transitions outside of the executor, so that a long one does not block it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
import queue
from typing import Any, TypeVar

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import Executor
from rclpy.service import Service

from streamvlm_ros.nodes.interfaces.gate import awaitable

T = TypeVar('T')


class Transitions:
    """Runs the transitions of a lifecycle node in the thread that calls `run`, in their order.

    rclpy runs them in the executor: while a model loads, the node would answer nothing, not even
    which state it is in.
    """

    def __init__(
        self, service: Service[Any, Any], wake: Callable[[], None], log: Callable[[str], Any]
    ) -> None:
        """Take the requests of the service `~/change_state` over.

        Args:
            service: whose callback runs the transition. Its callback group must be reentrant.
            wake: wakes the executor; any thread may call it.
            log: gets a sentence for what is not a transition.

        """
        self._change_state = service.callback
        self._wake, self._log = wake, log
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        service.callback = self._serve

    def run(self) -> None:
        """Run transitions as they are asked for, until `end` is called."""
        while (job := self._jobs.get()) is not None:
            job()

    def change(self, transition: int) -> bool:
        """Run a transition in this thread; return whether it has succeeded."""
        # Through the service, not by trigger_...() of rclpy, so that both refuse the same.
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(self._run(request, ChangeState.Response()).success)

    def wake(self) -> None:
        """Wake `run` if it waits; any thread may call this."""
        self._jobs.put(lambda: None)

    def end(self) -> None:
        """Make `run` return."""
        self._jobs.put(None)

    async def _serve(
        self, request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        changed: Future[ChangeState.Response] = Future()
        self._jobs.put(lambda: changed.set_result(self._run(request, response)))
        await awaitable(changed, self._wake)
        return changed.result()

    def _run(
        self, request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        try:
            return self._change_state(request, response)
        except Exception as error:  # see distributions.py
            self._log(f'There is no such transition: {error}')
            response.success = False
            return response


def call_in_executor(executor: Executor, function: Callable[[], T]) -> T:
    """Run a function between two callbacks of an executor that spins in another thread.

    What callbacks use can be made and destroyed there while no callback runs.
    """
    called: Future[T] = Future()
    executor.create_task(_run, function, called)
    return called.result()


def _run(function: Callable[[], T], outcome: Future[T]) -> None:
    try:
        outcome.set_result(function())
    except Exception as error:
        outcome.set_exception(error)
