# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The services of standing questions, and the topic of their events."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile

from streamvlm_ros.engine import StreamError, StreamWorker, Watch
from streamvlm_ros.msg import WatchEvent as WatchEventMsg
from streamvlm_ros.nodes.faults import Faults
from streamvlm_ros.nodes.interfaces import messages
from streamvlm_ros.nodes.interfaces.gate import Gate
from streamvlm_ros.nodes.interfaces.submit import ParameterValue, view_of
from streamvlm_ros.nodes.texts import quoted
from streamvlm_ros.srv import AddWatch, ListWatches, RemoveWatch

EVENTS_DEPTH = 50


class WatchServices:
    """`~/add_watch`, `~/remove_watch`, `~/list_watches` and `~/events`.

    Attributes:
        publish: publishes an event; any thread may call it, and it raises nothing.

    """

    def __init__(self, node: Node, gate: Gate, parameter: ParameterValue, faults: Faults) -> None:
        """Create the topic; the node serves what `services` lists.

        Events are reliable but not latched: to a late subscriber an old change would look like a
        new one. What holds now is in `~/list_watches`.

        Args:
            node: on which the topic is, and whose log tells of the watches.
            gate: the way to the worker.
            parameter: returns a parameter's value as it is now.
            faults: counts events that cannot be published.

        """
        self._log = node.get_logger().info
        self._gate, self._submit = gate, gate.places().result
        self._parameter = parameter
        events = node.create_publisher(WatchEventMsg, '~/events', QoSProfile(depth=EVENTS_DEPTH))
        self.publish = faults.shield(
            lambda event: events.publish(messages.watch_event_message(event)),
            'Publishing an event',
        )

    def services(self) -> list[tuple[Any, str, Callable[..., Any]]]:
        """Return type, name and callback of every service."""
        return [
            (AddWatch, '~/add_watch', self._add),
            (RemoveWatch, '~/remove_watch', self._remove),
            (ListWatches, '~/list_watches', self._list),
        ]

    async def _add(
        self, request: AddWatch.Request, response: AddWatch.Response
    ) -> AddWatch.Response:
        def submit(worker: StreamWorker) -> Future[Any]:
            return worker.watch(
                request.question,
                request.choices,
                threshold=request.threshold,
                hold=request.hold,
                name=request.name,
                view=view_of(request, self._parameter),
            )

        try:
            watch = await self._submit(submit)
            total = _cost(await self._submit(StreamWorker.watches))
        except StreamError as error:
            return messages.fill_failure(response, error)
        tokens = _cost((watch,))
        frames = f', {watch.frame_tokens} of them of frames' if watch.frame_tokens else ''
        self._log(
            f'The watch {quoted(watch.name)} was added: {tokens} tokens after every chunk{frames}'
            f'; {total} for all watches.'
        )
        return messages.fill_success(response, name=watch.name, tokens=tokens, total_tokens=total)

    async def _remove(
        self, request: RemoveWatch.Request, response: RemoveWatch.Response
    ) -> RemoveWatch.Response:
        try:
            await self._submit(lambda worker: worker.unwatch(request.name))
        except StreamError as error:
            return messages.fill_failure(response, error)
        self._log(f'The watch {quoted(request.name)} was removed.')
        return messages.fill_success(response)

    async def _list(
        self, _: ListWatches.Request, response: ListWatches.Response
    ) -> ListWatches.Response:
        try:
            watches = await self._submit(lambda worker: worker.watches())
        except StreamError as error:
            return messages.fill_failure(response, error)
        return messages.fill_success(
            response, watches=[messages.watch_message(watch) for watch in watches]
        )


def _cost(watches: tuple[Watch, ...]) -> int:
    """Return the tokens of watches after every chunk; those of one view share its frames."""
    frames = {watch.view: watch.frame_tokens for watch in watches}
    return sum(watch.tokens for watch in watches) + sum(frames.values())
