# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The services that write the stream's memory to a file and take it from one."""

from __future__ import annotations

from collections.abc import Callable
import functools
import os
from typing import Any

from rclpy.impl.rcutils_logger import RcutilsLogger

from streamvlm_ros.engine import SavedStream, StreamError, StreamWorker
from streamvlm_ros.nodes.interfaces import messages
from streamvlm_ros.nodes.interfaces.submit import ParameterValue, Submit
from streamvlm_ros.nodes.parameters.save_paths import SaveFolder
from streamvlm_ros.nodes.texts import sentence
from streamvlm_ros.srv import LoadStream, SaveStream


class SaveServices:
    """`~/save` and `~/load`."""

    def __init__(
        self, submit: Submit, parameter: ParameterValue, namespace: str, log: RcutilsLogger
    ) -> None:
        """Make the services; the node serves what `services` lists.

        Args:
            submit: hands a request to the worker.
            parameter: gives a parameter's value.
            namespace: of the node.
            log: tells of what was saved and loaded.

        """
        self._submit, self._parameter, self._log = submit, parameter, log
        self._folder = SaveFolder(
            parameter('save_folder'), namespace, anywhere=parameter('allow_any_path')
        )

    def services(self) -> list[tuple[Any, str, Callable[..., Any]]]:
        """Return type, name and callback of every service."""
        return [(SaveStream, '~/save', self._save), (LoadStream, '~/load', self._load)]

    def load_at_start(self, worker: StreamWorker) -> None:
        """Load the stream that the parameter `load_at_start` names, if it names one.

        Without the file the stream begins empty, as it does before anything was ever saved.
        """
        name = self._parameter('load_at_start')
        if not name:
            return
        try:
            saved = worker.load(functools.partial(self._folder.place, name)).result()
        except StreamError as error:
            self._log.warning(
                f'Nothing was loaded at the start, the stream begins empty: {sentence(str(error))}'
            )
        else:
            self._tell('Loaded', saved)

    def _tell(self, done: str, saved: SavedStream) -> None:
        fields = _fields(saved)
        self._log.info(
            f'{done} {fields["path"]}: {saved.frames:,} frames, {saved.tokens:,} tokens, '
            f'{saved.bytes / 1e6:,.1f} MB.'
        )

    async def _save(
        self, request: SaveStream.Request, response: SaveStream.Response
    ) -> SaveStream.Response:
        place = functools.partial(self._folder.place, request.path, make=True)
        try:
            saved = await self._submit(lambda worker: worker.save(place))
        except StreamError as error:
            return messages.fill_failure(response, error)
        self._tell('Saved', saved)
        return messages.fill_success(response, **_fields(saved))

    async def _load(
        self, request: LoadStream.Request, response: LoadStream.Response
    ) -> LoadStream.Response:
        place = functools.partial(self._folder.place, request.path)
        try:
            saved = await self._submit(lambda worker: worker.load(place))
        except StreamError as error:
            return messages.fill_failure(response, error)
        self._tell('Loaded', saved)
        return messages.fill_success(response, epoch=saved.epoch, **_fields(saved))


def _fields(saved: SavedStream) -> dict[str, Any]:
    return {
        # A link may lead to a name that is not UTF-8, which no response could carry.
        'path': os.fsencode(saved.path).decode(errors='replace'),
        'frames': saved.frames,
        'tokens': saved.tokens,
        'bytes': saved.bytes,
    }
