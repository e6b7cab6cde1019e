# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The services about the stream as a whole: empty it, pause it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from std_srvs.srv import SetBool, Trigger

from streamvlm_ros.engine import StreamError, StreamWorker
from streamvlm_ros.nodes.submit import Submit


class StreamServices:
    """`~/reset` and `~/set_paused`."""

    def __init__(self, submit: Submit, on_change: Callable[[], None]) -> None:
        """Serve nothing yet; the node serves what `services` lists.

        Args:
            submit: hands a request to the worker.
            on_change: called when the stream was paused, or goes on.

        """
        self._submit = submit
        self._on_change = on_change

    def services(self) -> list[tuple[Any, str, Callable[..., Any]]]:
        """Return type, name and callback of every service."""
        return [(Trigger, '~/reset', self._reset), (SetBool, '~/set_paused', self._set_paused)]

    async def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        done = 'The stream was emptied; a new epoch has begun.'
        return await self._answer(response, StreamWorker.reset, done)

    async def _set_paused(
        self, request: SetBool.Request, response: SetBool.Response
    ) -> SetBool.Response:
        def submit(worker: StreamWorker) -> Future[None]:
            worker.set_paused(request.data)
            done: Future[None] = Future()
            done.set_result(None)
            return done

        done = 'Images are ignored from now on.' if request.data else 'Images are taken again.'
        response = await self._answer(response, submit, done)
        self._on_change()
        return response

    async def _answer(
        self, response: Any, submit: Callable[[StreamWorker], Future[Any]], done: str
    ) -> Any:
        try:
            await self._submit(submit)
        except StreamError as error:
            response.message = str(error)
            return response
        response.success = True
        response.message = done
        return response
