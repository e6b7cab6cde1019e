# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The services about the stream as a whole: empty it, pause it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from streamvlm_ros.engine import StreamError, StreamWorker
from streamvlm_ros.nodes.interfaces.gate import Gate
from streamvlm_ros.nodes.texts import sentence


class StreamServices:
    """`~/reset` and `~/set_paused`."""

    def __init__(self, node: Node, gate: Gate, on_change: Callable[[], object]) -> None:
        """Make the services; the node serves what `services` lists.

        Args:
            node: whose log tells of them.
            gate: the way to the worker.
            on_change: called when the stream is paused or resumed.

        """
        self._log = node.get_logger().info
        self._gate = gate
        self._resets = gate.places()
        self._on_change = on_change

    def services(self) -> list[tuple[Any, str, Callable[..., Any]]]:
        """Return type, name and callback of every service."""
        return [(Trigger, '~/reset', self._reset), (SetBool, '~/set_paused', self._set_paused)]

    async def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            await self._resets.result(StreamWorker.reset)
        except StreamError as error:
            response.message = sentence(str(error))
            return response
        return self._done(response, 'The stream was emptied; a new epoch has begun.')

    def _set_paused(
        self, request: SetBool.Request, response: SetBool.Response
    ) -> SetBool.Response:
        try:
            self._gate.worker().set_paused(request.data)
        except StreamError as error:
            response.message = sentence(str(error))
            return response
        self._on_change()
        paused = 'Images are ignored from now on.' if request.data else 'Images are taken again.'
        return self._done(response, paused)

    def _done(self, response: Any, what: str) -> Any:
        self._log(what)
        response.success, response.message = True, what
        return response
