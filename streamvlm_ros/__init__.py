# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Streaming video question answering for ROS 2: camera topic in, answers out."""

import importlib
import logging
import pkgutil
from typing import Any, TYPE_CHECKING

from streamvlm_ros.moved import serve_old_names

if TYPE_CHECKING:
    from streamvlm_ros.engine import (
        Answer,
        AnswerSettings,
        AnswerStream,
        AnswerTimeoutError,
        BusyError,
        CacheInfo,
        Choice,
        ErrorCode,
        Evidence,
        FileError,
        InternalError,
        InvalidRequestError,
        Metrics,
        NoFramesError,
        NotActiveError,
        OutOfMemoryError,
        ResetDuringAnswerError,
        SavedStream,
        Snapshot,
        StaleStreamError,
        StreamError,
        StreamingVLM,
        StreamSettings,
        VideoStreamingInference,
        View,
        Watch,
        WatchEvent,
    )

# Imported when one of them is first asked for: a program that needs no model waits for no torch.
__all__ = [
    'Answer',
    'AnswerSettings',
    'AnswerStream',
    'AnswerTimeoutError',
    'BusyError',
    'CacheInfo',
    'Choice',
    'ErrorCode',
    'Evidence',
    'FileError',
    'InternalError',
    'InvalidRequestError',
    'Metrics',
    'NoFramesError',
    'NotActiveError',
    'OutOfMemoryError',
    'ResetDuringAnswerError',
    'SavedStream',
    'Snapshot',
    'StaleStreamError',
    'StreamError',
    'StreamingVLM',
    'StreamSettings',
    'VideoStreamingInference',
    'View',
    'Watch',
    'WatchEvent',
]

# The interfaces (streamvlm_ros.msg, .srv, .action) are generated into the install space, in a
# package of this same name. Joining every folder of this name on sys.path makes them importable
# also where Python finds the source folder first, as it does in the root of the repository.
__path__ = pkgutil.extend_path(__path__, __name__)
serve_old_names()
# What a library's logger has: a program that sets up no logging gets no lines from it.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    value = getattr(importlib.import_module('streamvlm_ros.engine'), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
