# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ROS client of a running node, as a library. It needs no torch.

    from streamvlm_ros.client import StreamClient

    with StreamClient('/streamvlm') as robot:
        print(robot.ask('Which object left last?').text)

`AsyncStreamClient` offers the same to asyncio. docs/client.md has the rest.
"""

from __future__ import annotations

import importlib
from typing import Any, TYPE_CHECKING

from streamvlm_ros.errors import (
    AnswerTimeoutError,
    BusyError,
    ErrorCode,
    FileError,
    InternalError,
    InvalidRequestError,
    NodeNotFoundError,
    NoFramesError,
    NoReplyError,
    NotActiveError,
    OutOfMemoryError,
    ResetDuringAnswerError,
    StaleStreamError,
    StreamError,
)

if TYPE_CHECKING:
    from streamvlm_ros.client.async_client import AsyncStreamClient
    from streamvlm_ros.client.async_streams import AsyncAnswerStream, AsyncWatch
    from streamvlm_ros.client.client import StreamClient
    from streamvlm_ros.client.outputs import (
        Answer,
        Picture,
        SavedStream,
        Status,
        WatchEvent,
        WatchInfo,
    )
    from streamvlm_ros.client.requests import GenerationOptions
    from streamvlm_ros.client.streams import AnswerStream, Watch
    from streamvlm_ros.store.moments import Forgotten
    from streamvlm_ros.view import Evidence

__all__ = [
    'StreamClient',
    'AsyncStreamClient',
    'Answer',
    'AnswerStream',
    'AsyncAnswerStream',
    'AsyncWatch',
    'Evidence',
    'Forgotten',
    'GenerationOptions',
    'Picture',
    'SavedStream',
    'Status',
    'Watch',
    'WatchEvent',
    'WatchInfo',
    'ErrorCode',
    'StreamError',
    'AnswerTimeoutError',
    'BusyError',
    'FileError',
    'InternalError',
    'InvalidRequestError',
    'NodeNotFoundError',
    'NoFramesError',
    'NoReplyError',
    'NotActiveError',
    'OutOfMemoryError',
    'ResetDuringAnswerError',
    'StaleStreamError',
]

_MODULES = {
    'StreamClient': 'client',
    'AsyncStreamClient': 'async_client',
    'Answer': 'outputs',
    'AnswerStream': 'streams',
    'AsyncAnswerStream': 'async_streams',
    'AsyncWatch': 'async_streams',
    'Evidence': 'outputs',
    'Forgotten': 'outputs',
    'GenerationOptions': 'requests',
    'Picture': 'outputs',
    'SavedStream': 'outputs',
    'Status': 'outputs',
    'Watch': 'streams',
    'WatchEvent': 'outputs',
    'WatchInfo': 'outputs',
}


def __getattr__(name: str) -> Any:
    """Import what needs rclpy when it is asked for: `client.ready` takes Ctrl-C before that."""
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'{__name__}.{_MODULES[name]}'), name)
