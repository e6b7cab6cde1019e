# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The services that write the stream's memory to a file and take it from one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from streamvlm_ros.engine import SavedStream, StreamError, StreamWorker
from streamvlm_ros.nodes import messages
from streamvlm_ros.nodes.save_paths import make_save_folder, save_path
from streamvlm_ros.nodes.submit import Submit
from streamvlm_ros.srv import LoadStream, SaveStream


class SaveServices:
    """`~/save` and `~/load`."""

    def __init__(self, submit: Submit, folder: Callable[[], str]) -> None:
        """Serve nothing yet; the node serves what `services` lists.

        Args:
            submit: hands a request to the worker.
            folder: returns where relative paths are found.

        """
        self._submit = submit
        self._folder = folder

    def services(self) -> list[tuple[Any, str, Callable[..., Any]]]:
        """Return type, name and callback of every service."""
        return [(SaveStream, '~/save', self._save), (LoadStream, '~/load', self._load)]

    async def _save(
        self, request: SaveStream.Request, response: SaveStream.Response
    ) -> SaveStream.Response:
        def submit(worker: StreamWorker) -> Future[SavedStream]:
            folder = self._folder()
            path = save_path(request.path, folder)
            make_save_folder(path, folder)
            return worker.call(lambda engine: engine.save(path))

        try:
            saved = await self._submit(submit)
        except StreamError as error:
            return messages.fill_failure(response, error)
        return messages.fill_success(response, **_fields(saved))

    async def _load(
        self, request: LoadStream.Request, response: LoadStream.Response
    ) -> LoadStream.Response:
        def submit(worker: StreamWorker) -> Future[SavedStream]:
            path = save_path(request.path, self._folder())
            return worker.call(lambda engine: engine.load(path))

        try:
            saved = await self._submit(submit)
        except StreamError as error:
            return messages.fill_failure(response, error)
        return messages.fill_success(response, epoch=saved.epoch, **_fields(saved))


def _fields(saved: SavedStream) -> dict[str, Any]:
    return {
        'path': str(saved.path),
        'frames': saved.frames,
        'tokens': saved.tokens,
        'bytes': saved.bytes,
    }
