# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An answer while it is written, and a watch, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
import contextlib
from types import TracebackType
from typing import Any

from streamvlm_ros.client.goals import Goal
from streamvlm_ros.client.outputs import Answer, WatchEvent
from streamvlm_ros.client.watching import Watching
from streamvlm_ros.errors import StreamError


class AsyncInbox:
    """Hands things from the participant's thread to the event loop that is running now."""

    def __init__(self) -> None:
        """Begin empty."""
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Any] = asyncio.Queue()

    def put(self, thing: Any) -> None:
        """Hand it over; where the loop is closed, nothing waits for it."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._queue.put_nowait, thing)

    async def get(self) -> Any:
        """Wait for the next thing."""
        return await self._queue.get()


class AsyncAnswerStream(AsyncIterator[str]):
    """An answer while it is written: an async iterator of its text, piece by piece.

    It is canceled in the node when it is closed early: by `aclose`, at the end of an `async with`
    block, or when nothing refers to it any more.

    Attributes:
        answer: the whole answer, once it is complete; None before.

    """

    def __init__(self, client: object, goal: Goal, inbox: AsyncInbox) -> None:
        """Take a goal that was started; `client` is kept alive."""
        self.answer: Answer | None = None
        self._client, self._goal, self._inbox = client, goal, inbox
        self._is_over = False

    def __aiter__(self) -> AsyncAnswerStream:
        """Return the stream itself."""
        return self

    async def __anext__(self) -> str:
        """Return what was written since the last piece.

        Raises:
            StreamError: there is no answer; says why.

        """
        if self._is_over:
            raise StopAsyncIteration
        piece = await self._inbox.get()
        if isinstance(piece, str):
            return piece
        self._is_over = True
        if isinstance(piece, Exception):
            raise piece
        self.answer = piece
        raise StopAsyncIteration

    async def result(self) -> Answer:
        """Wait for the whole answer and return it; raises as the iterator does."""
        async for _ in self:
            pass
        if self.answer is None:
            raise RuntimeError('The answer was given up before it was complete.')
        return self.answer

    def cancel(self) -> None:
        """Ask the node to end the answer; go on iterating for what was written until then."""
        self._goal.cancel()

    async def aclose(self) -> None:
        """End the answer in the node, and wait until that has happened."""
        self.cancel()
        with contextlib.suppress(StreamError):  # it ends, one way or another
            async for _ in self:
                pass

    async def __aenter__(self) -> AsyncAnswerStream:
        """Return the stream itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.aclose()

    def __del__(self) -> None:
        if not self._is_over:
            self._goal.cancel_from_destructor()


class AsyncWatch(AsyncIterator[WatchEvent]):
    """A standing question: an async iterator of its own events. Use it in an `async with` block.

    Attributes:
        name: in the node; empty until the block has begun.

    """

    def __init__(self, client: object, watching: Watching, inbox: AsyncInbox) -> None:
        """Take a watch that is being added; `client` is kept alive."""
        self.name = ''
        self._client, self._watching, self._inbox = client, watching, inbox
        self._is_over = False

    def __aiter__(self) -> AsyncWatch:
        """Return the watch itself."""
        return self

    async def __anext__(self) -> WatchEvent:
        """Wait for the next event.

        Raises:
            StreamError: there will be none: the node has refused the watch, or has ended.

        """
        happening = None if self._is_over else await self._inbox.get()
        if isinstance(happening, WatchEvent):
            return happening
        self._is_over = True
        if isinstance(happening, Exception):
            raise happening
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Remove it from the node, and wait until that is done. May be called again.

        Raises:
            StreamError: the node does not say that it is done.

        """
        self._is_over = True
        self._watching.close()
        await asyncio.wrap_future(self._watching.removed)

    async def __aenter__(self) -> AsyncWatch:
        """Wait until the node has added it.

        Raises:
            StreamError: the node refuses it, or there is none.

        """
        try:
            self.name = await asyncio.wrap_future(self._watching.added)
        except BaseException:
            self._is_over = True
            self._watching.close()  # the node may be adding it just now
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove it; where the node has ended, it is gone already."""
        with contextlib.suppress(StreamError):
            await self.aclose()

    def __del__(self) -> None:
        if not self._is_over:
            self._watching.close_from_destructor()
