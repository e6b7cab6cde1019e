# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A standing question of this client: added, its own events handed on, removed at the end."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
import contextlib
import time
from typing import Any

from rclpy.qos import QoSProfile

from streamvlm_ros.client.calls import Call, Calls, DISCOVERY_TIME, OPEN_CALLS
from streamvlm_ros.client.outputs import event_of, WatchEvent
from streamvlm_ros.client.participant import closed_error, fail, Participant, settle
from streamvlm_ros.client.requests import checked
from streamvlm_ros.errors import StreamError
from streamvlm_ros.msg import WatchEvent as WatchEventMsg
from streamvlm_ros.srv import AddWatch, RemoveWatch

REMOVE_TIME = 5.0  # seconds for the node to say that it has removed a watch
# An event; why there will be no more; None: the watch was removed.
Happening = WatchEvent | Exception | None


class Events:
    """The topic `~/events` of one node, from the first watch on.

    Attributes:
        calls: of the node.
        left: names of watches that could not be removed from the node.

    """

    def __init__(self, calls: Calls) -> None:
        """Subscribe to nothing yet."""
        self.calls = calls
        self.left: list[str] = []
        calls.participant.on_lost = self._remove_left
        self._topic = f'{calls.target}/events'
        self._subscription: Any = None
        self._listeners: list[Watching] = []

    def listen(self, watching: Watching) -> bool:
        """Give it the events that come; return whether a publisher of them was found."""
        node = self.calls.participant.node
        if self._subscription is None:
            self._subscription = node.create_subscription(
                WatchEventMsg, self._topic, self._take, QoSProfile(depth=OPEN_CALLS)
            )
        if watching not in self._listeners:
            self._listeners.append(watching)
        return bool(node.count_publishers(self._topic))

    def leave(self, watching: Watching) -> None:
        """Give it none any more."""
        if watching in self._listeners:
            self._listeners.remove(watching)

    def _remove_left(self) -> None:
        """Remove what has stayed in the node, in a context of its own.

        rclpy's handler of Ctrl-C shuts the user's context down before anything can be sent in it.
        """
        if not self.left:
            return
        participant = Participant(None, self.calls.participant.domain_id)
        calls = Calls(participant, self.calls.target)
        for name in self.left:
            request = RemoveWatch.Request(name=name)
            done = calls.call(RemoveWatch, 'remove_watch', request, checked, REMOVE_TIME)
            with contextlib.suppress(StreamError):  # the node may have ended too
                done.result(DISCOVERY_TIME + REMOVE_TIME)
        participant.close()

    def _take(self, message: Any) -> None:
        event = event_of(message)
        for watching in tuple(self._listeners):
            watching.take(event)


class Watching:
    """One watch, from adding it to removing it.

    Attributes:
        added: future of its name.
        removed: is done when it is out of the node, or given up.

    """

    def __init__(
        self,
        events: Events,
        request: AddWatch.Request,
        *,
        limit: float,
        keep: bool,
        put: Callable[[Happening], object],
    ) -> None:
        """Prepare it.

        Args:
            events: hands on what happens.
            request: is sent to add it.
            limit: seconds for the node to add it; 0: as long as it lives.
            keep: leave the watch in the node at the end.
            put: takes what happens, in the participant's thread.

        """
        self.added: Future[str] = Future()
        self.removed: Future[None] = Future()
        self._events, self._calls = events, events.calls
        self._request, self._limit, self._keep = request, limit, keep
        self._put = put
        self._find_by = time.monotonic() + DISCOVERY_TIME
        self._adding: Call[str] | None = None
        self._removing: Call[Any] | None = None
        self._name = ''
        self._early: list[WatchEvent] = []  # what came before the name
        self._is_unwanted = self._is_over = False

    def close(self) -> None:
        """Take it out of the node, also if it is being added just now; any thread."""
        if not self._calls.participant.post(self.abandon):
            self.drop(closed_error())

    def close_from_destructor(self) -> None:
        """Do the same within a second, without taking a lock."""
        self._calls.participant.post_from_destructor(self.abandon)

    def abandon(self) -> None:
        """Take it out of the node."""
        self._is_unwanted = True

    def drop(self, error: Exception) -> None:
        """End at once; the node may have the watch still."""
        if self._name and not self._keep and not self._is_over:
            self._events.left.append(self._name)
        self._end(error)

    def take(self, event: WatchEvent) -> None:
        """Hand on an event, if it is its own."""
        if not self._name:
            self._early.append(event)
        elif event.name == self._name and not self._is_unwanted:
            self._put(event)

    def step(self, now: float) -> bool:
        """Add it, see that the node lives, remove it."""
        if not self._is_over:
            if not self._name:
                self._add(now)
            if self._name and self._is_unwanted:
                self._remove(now)
            elif self._name and not self._is_over:
                self._see_that_it_lives(now)
        return self._is_over

    def _add(self, now: float) -> None:
        if self._adding is None:
            # An event that is published before publisher and subscription know each other is lost.
            if self._events.listen(self):
                self._adding = Call(
                    self._calls, AddWatch, 'add_watch', self._request, _name_of, self._limit
                )
            elif now > self._find_by:
                self._end(self._calls.not_found('add_watch'))
            elif self._is_unwanted:
                self._end(None)
        if self._adding is not None and self._adding.step(now):
            error = self._adding.future.exception()
            if error is not None:
                self._end(error)
                return
            self._name = self._adding.future.result()
            settle(self.added, lambda: self._name)
            for event in self._early:
                self.take(event)
            self._early.clear()

    def _remove(self, now: float) -> None:
        if self._keep:
            self._end(None)
            return
        if self._removing is None:
            request = RemoveWatch.Request(name=self._name)
            self._removing = Call(
                self._calls, RemoveWatch, 'remove_watch', request, checked, REMOVE_TIME
            )
        if self._removing.step(now):
            self._end(self._removing.future.exception())

    def _see_that_it_lives(self, now: float) -> None:
        if not self._calls.client(AddWatch, 'add_watch').service_is_ready():
            self._end(self._calls.no_reply('has ended'))

    def _end(self, why: BaseException | None) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._events.leave(self)
        error = why if isinstance(why, Exception) else None
        fail(self.added, error or closed_error())
        if error is None:
            settle(self.removed, lambda: None)
        else:
            fail(self.removed, error)
        self._put(error)


def _name_of(response: Any) -> str:
    return str(checked(response).name)
