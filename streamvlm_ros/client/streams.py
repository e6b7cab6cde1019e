# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What goes on while the program does: an answer while it is written, and a watch. Blocking."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
import contextlib
import queue
import threading
import time
from types import TracebackType
from typing import Any, TypeVar

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node

from streamvlm_ros import interrupts
from streamvlm_ros.client.goals import Goal
from streamvlm_ros.client.outputs import Answer, WatchEvent
from streamvlm_ros.client.participant import Participant, TICK
from streamvlm_ros.client.watching import Happening, Watching
from streamvlm_ros.errors import NotActiveError, StreamError

T = TypeVar('T')


def result(participant: Participant, future: Future[T]) -> T:
    """Wait for a future's result, and raise its error.

    Raises:
        RuntimeError: the thread that would complete it is the one that waits.

    """
    refuse_own_thread(participant)
    try:
        while not wait_for([future], TICK).done:
            interrupts.check()
    except BaseException:
        future.cancel()
        raise
    return future.result()


def refuse_own_thread(participant: Participant) -> None:
    """Raise a RuntimeError where waiting would have no end."""
    if threading.current_thread() is participant.thread:
        raise RuntimeError(
            "This callback runs in the client's own thread, which cannot wait for itself: iterate "
            'over the watch instead, or give the client your node: callbacks then run in its '
            'executor.'
        )


class Inbox:
    """Hands things from the participant's thread to another one, in their order."""

    def __init__(self, participant: Participant) -> None:
        """Begin empty."""
        self._participant = participant
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.put = self._queue.put

    def get(self, timeout: float | None = None) -> Any:
        """Wait for the next thing; raise queue.Empty if there is none in time (seconds)."""
        refuse_own_thread(self._participant)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            interrupts.check()
            left = TICK if deadline is None else min(TICK, deadline - time.monotonic())
            try:
                return self._queue.get(timeout=max(left, 0.0))
            except queue.Empty:
                if deadline is not None and time.monotonic() >= deadline:
                    raise


class AnswerStream(Iterator[str]):
    """An answer while it is written: an iterator of its text, piece by piece.

    It is canceled in the node when it is closed early: by `close`, at the end of a `with` block,
    or when nothing refers to it any more.

    Attributes:
        answer: the whole answer, once it is complete; None before.

    """

    def __init__(self, client: object, goal: Goal, inbox: Inbox) -> None:
        """Take a goal that was started; `client` is kept alive."""
        self.answer: Answer | None = None
        self._client, self._goal, self._inbox = client, goal, inbox
        self._is_over = False

    def __iter__(self) -> AnswerStream:
        """Return the stream itself."""
        return self

    def __next__(self) -> str:
        """Return what was written since the last piece.

        Raises:
            StreamError: there is no answer; says why.

        """
        if self._is_over:
            raise StopIteration
        piece = self._inbox.get()
        if isinstance(piece, str):
            return piece
        self._is_over = True
        if isinstance(piece, Exception):
            raise piece
        self.answer = piece
        raise StopIteration

    def result(self) -> Answer:
        """Wait for the whole answer and return it; raises as the iterator does."""
        for _ in self:
            pass
        if self.answer is None:
            raise RuntimeError('The answer was given up before it was complete.')
        return self.answer

    def cancel(self) -> None:
        """Ask the node to end the answer; go on iterating for what was written until then."""
        self._goal.cancel()

    def close(self) -> None:
        """End the answer in the node, and wait until that has happened."""
        self.cancel()
        with contextlib.suppress(StreamError):  # it ends, one way or another
            for _ in self:
                pass

    def __enter__(self) -> AnswerStream:
        """Return the stream itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def __del__(self) -> None:
        if not self._is_over:
            self._goal.cancel_from_destructor()


class Watch(Iterator[WatchEvent]):
    """A standing question in the node: an iterator of its own events.

    It is removed from the node by `close`, at the end of a `with` block, or when nothing refers to
    it any more.

    Attributes:
        name: in the node.

    """

    def __init__(
        self, client: object, participant: Participant, watching: Watching, inbox: Inbox
    ) -> None:
        """Wait until the node has added it; `client` is kept alive.

        Raises:
            StreamError: the node refuses it, or there is none.

        """
        self._client, self._participant = client, participant
        self._watching, self._inbox = watching, inbox
        self._is_over = True
        try:
            self.name = result(participant, watching.added)
        except BaseException:
            watching.close()  # the node may be adding it just now
            raise
        self._is_over = False

    def __iter__(self) -> Watch:
        """Return the watch itself."""
        return self

    def __next__(self) -> WatchEvent:
        """Wait for the next event.

        Raises:
            StreamError: there will be none, as the node has ended.

        """
        event = self.get()
        if event is None:
            raise StopIteration
        return event

    def get(self, timeout: float | None = None) -> WatchEvent | None:
        """Return the next event; None: there was none in time (seconds), or the watch is closed.

        Raises:
            StreamError: there will be none, as the node has ended.

        """
        if self._is_over:
            return None
        try:
            happening = self._inbox.get(timeout)
        except queue.Empty:
            return None
        if isinstance(happening, WatchEvent):
            return happening
        self._is_over = True
        if isinstance(happening, Exception):
            raise happening
        return None

    def close(self) -> None:
        """Remove it from the node, and wait until that is done. May be called again.

        Raises:
            StreamError: the node does not say that it is done.

        """
        self._is_over = True
        self._watching.close()
        result(self._participant, self._watching.removed)

    def __enter__(self) -> Watch:
        """Return the watch itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove it; where the node has ended, it is gone already."""
        with contextlib.suppress(StreamError):
            self.close()

    def __del__(self) -> None:
        if not self._is_over:
            self._watching.close_from_destructor()


class Relay:
    """Calls a function for each event: in the executor of the user's node, or in the client's.

    Attributes:
        is_added: whether the node has the watch; before that, who adds it is told of faults.

    """

    def __init__(
        self,
        participant: Participant,
        node: Node | None,
        callback: Callable[[WatchEvent], object],
        inbox: Inbox,
    ) -> None:
        """Begin; what is no event goes to `inbox`."""
        self._callback, self._inbox = callback, inbox
        self._node, self._guard = node, None
        self._events: collections.deque[WatchEvent] = collections.deque()
        self._call = participant.guarded(callback, 'The callback of a watch')
        self._log = participant.node.get_logger().error
        self.is_added = False
        if node is not None:
            group = MutuallyExclusiveCallbackGroup()
            self._guard = node.create_guard_condition(self._run, callback_group=group)

    def put(self, happening: Happening) -> None:
        """Take what happens; in the participant's thread."""
        if not isinstance(happening, WatchEvent):
            is_own = happening is None or isinstance(happening, NotActiveError)  # it was closed
            if self.is_added and not is_own:
                self._log(f'A watch has ended: {happening}')
            self._inbox.put(happening)
        elif self._guard is None:
            self._call(happening)
        else:
            self._events.append(happening)
            self._guard.trigger()

    def _run(self) -> None:
        while self._events:
            self._callback(self._events.popleft())
