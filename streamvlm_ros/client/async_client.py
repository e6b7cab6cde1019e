# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The client of a node for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Literal, TYPE_CHECKING
import weakref

from builtin_interfaces.msg import Time
from rclpy.node import Node

from streamvlm_ros.client.async_streams import AsyncAnswerStream, AsyncInbox, AsyncWatch
from streamvlm_ros.client.core import Core, LOAD_TIME
from streamvlm_ros.client.outputs import Answer, SavedStream, Status, WatchInfo
from streamvlm_ros.client.requests import question_view, view_fields
from streamvlm_ros.store.moments import Forgotten
from streamvlm_ros.view import ViewName

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from streamvlm_ros.client.requests import GenerationOptions


class AsyncStreamClient:
    """Asks a running node from a program of asyncio; use it in an `async with` block.

    Methods, arguments and errors are those of `StreamClient`. A call that is canceled is given up
    here; the node may still do it. What is streamed or watched is ended in the node too.

    Attributes:
        target: full name of the node.

    """

    def __init__(
        self,
        name: str = '/streamvlm',
        *,
        node: Node | None = None,
        domain_id: int | None = None,
    ) -> None:
        """Join the ROS graph; the arguments are those of `StreamClient`."""
        self._core = Core(name, node, domain_id)
        self._finalizer = weakref.finalize(self, self._core.participant.let_go)
        self.target = self._core.target

    async def aclose(self) -> None:
        """End answers and watches that are open, and leave the graph. May be called again."""
        await asyncio.to_thread(self._core.participant.close)

    async def __aenter__(self) -> AsyncStreamClient:
        """Return the client itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.aclose()

    async def ask(
        self,
        question: str,
        *,
        after: int | Time = 0,
        timeout: float = 0.0,
        view: ViewName | Literal[''] = '',
        since: int | Time = 0,
        until: int | Time = 0,
        return_frames: bool = False,
        max_new_tokens: int = 0,
        update_state: bool = False,
        **options: Unpack[GenerationOptions],
    ) -> Answer:
        """Ask for an answer in free text; see `StreamClient.ask`."""
        return await asyncio.wrap_future(
            self._core.ask(
                question,
                after=after,
                timeout=timeout,
                max_new_tokens=max_new_tokens,
                update_state=update_state,
                options=options,
                look=question_view(view, since, until, return_frames),
            )
        )

    async def ask_choice(
        self,
        question: str,
        choices: Sequence[str],
        *,
        after: int | Time = 0,
        timeout: float = 0.0,
        view: ViewName | Literal[''] = '',
        since: int | Time = 0,
        until: int | Time = 0,
        return_frames: bool = False,
    ) -> Answer:
        """Ask which of 2 to 26 answers fits; see `StreamClient.ask_choice`."""
        return await asyncio.wrap_future(
            self._core.ask_choice(
                question,
                choices,
                after=after,
                timeout=timeout,
                look=question_view(view, since, until, return_frames),
            )
        )

    def stream_answer(
        self,
        question: str,
        choices: Sequence[str] = (),
        *,
        after: int | Time = 0,
        timeout: float = 0.0,
        view: ViewName | Literal[''] = '',
        since: int | Time = 0,
        until: int | Time = 0,
        return_frames: bool = False,
        max_new_tokens: int = 0,
        update_state: bool = False,
        **options: Unpack[GenerationOptions],
    ) -> AsyncAnswerStream:
        """Ask, and iterate with `async for`; see `StreamClient.stream_answer`."""
        inbox = AsyncInbox()
        goal = self._core.stream_answer(
            inbox.put,
            question,
            choices,
            after=after,
            timeout=timeout,
            max_new_tokens=max_new_tokens,
            update_state=update_state,
            options=options,
            look=question_view(view, since, until, return_frames),
        )
        return AsyncAnswerStream(self, goal, inbox)

    def watch(
        self,
        question: str,
        choices: Sequence[str],
        *,
        name: str = '',
        threshold: float = 0.7,
        hold: int = 2,
        keep: bool = False,
        view: ViewName | Literal[''] = '',
        since: int | Time = 0,
        until: int | Time = 0,
        timeout: float = 0.0,
    ) -> AsyncWatch:
        """Add a standing question, for `async with` and `async for`; see `StreamClient.watch`."""
        inbox = AsyncInbox()
        watching = self._core.watch(
            inbox.put,
            question,
            choices,
            name=name,
            threshold=threshold,
            hold=hold,
            keep=keep,
            timeout=timeout,
            look=view_fields(view, since, until),
        )
        return AsyncWatch(self, watching, inbox)

    async def watches(self, *, timeout: float = 0.0) -> tuple[WatchInfo, ...]:
        """Return the standing questions of the node, and the answers that hold."""
        return await asyncio.wrap_future(self._core.watches(timeout))

    async def save(self, path: str, *, timeout: float = 0.0) -> SavedStream:
        """Write the stream's memory to a file: a name in the node's save_folder."""
        return await asyncio.wrap_future(self._core.save(path, timeout))

    async def load(self, path: str, *, timeout: float = 0.0) -> SavedStream:
        """Let the node go on from a saved stream; its present one is forgotten."""
        return await asyncio.wrap_future(self._core.load(path, timeout))

    async def forget(
        self, since: int | Time = 0, until: int | Time = 0, *, timeout: float = 0.0
    ) -> Forgotten:
        """Take a time out of the node's store for good; see `StreamClient.forget`."""
        return await asyncio.wrap_future(self._core.forget(since, until, timeout))

    async def reset(self, *, timeout: float = 0.0) -> None:
        """Empty the stream; a new epoch begins."""
        await asyncio.wrap_future(self._core.reset(timeout))

    async def pause(self, *, timeout: float = 0.0) -> None:
        """Let the node ignore images from now on; questions are answered still."""
        await asyncio.wrap_future(self._core.set_paused(True, timeout))

    async def resume(self, *, timeout: float = 0.0) -> None:
        """Let the node take images again."""
        await asyncio.wrap_future(self._core.set_paused(False, timeout))

    async def status(self, *, timeout: float = 0.0) -> Status:
        """Return the newest status, of which one comes a second; wait for the first one."""
        return await asyncio.wrap_future(self._core.status(timeout))

    async def wait_for_status(
        self, condition: Callable[[Status], bool], *, timeout: float = 20.0
    ) -> Status:
        """Return the first status that meets a condition, which the client's thread calls."""
        return await asyncio.wrap_future(self._core.wait_for_status(condition, timeout))

    async def wait_until_ready(self, *, timeout: float = LOAD_TIME) -> Status:
        """Wait until the node is there, has loaded its model, and listens to its camera."""
        return await asyncio.wrap_future(self._core.wait_until_ready(timeout))
