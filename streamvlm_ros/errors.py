# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The exceptions that a user of this package meets. No torch and no ROS are needed.

The engine and the ROS client raise the same classes: one for each error code of the services, all
of them a StreamError. `CommandError` ends a command with exit code 1.
"""

from __future__ import annotations

import enum
from typing import Any


class CommandError(Exception):
    """A command cannot do its work; `str(error)` is one sentence for the user."""


class SourceError(CommandError):
    """A source of frames cannot be opened or read; `str(error)` is one sentence for the user."""


class ErrorCode(enum.IntEnum):
    """Why a request failed; the same numbers as the constants of the ROS services."""

    NONE = 0
    INVALID_REQUEST = 1
    NOT_ACTIVE = 2
    NO_FRAMES = 3
    STALE_STREAM = 4
    BUSY = 5
    TIMEOUT = 6
    RESET_DURING_ANSWER = 7
    OUT_OF_MEMORY = 8
    INTERNAL = 9
    FILE_ERROR = 10


class StreamError(Exception):
    """A fault that leaves the stream intact.

    `StreamError(code, sentence)` is an instance of the class of its code, so that
    `except BusyError` catches what was raised by its code.

    Attributes:
        code: what kind of fault it is.

    `str(error)` is one sentence that says what was wrong and what to do.

    """

    def __new__(cls, code: ErrorCode, message: str) -> StreamError:
        """Return an instance of the class of the code, if no class was chosen."""
        chosen = _CLASSES.get(code, cls) if cls is StreamError else cls
        return super().__new__(chosen, message)

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        """Give what is needed to build it anew, in another process."""
        return type(self), (self.code, str(self))


class InvalidRequestError(StreamError):
    """INVALID_REQUEST: an argument is not possible."""


class NotActiveError(StreamError):
    """NOT_ACTIVE: the node, or the engine, is not serving now."""


class NodeNotFoundError(NotActiveError):
    """No node of that name is in the ROS graph; of the client only."""


class NoFramesError(StreamError):
    """NO_FRAMES: there is no frame yet to answer from."""


class StaleStreamError(StreamError):
    """STALE_STREAM: frames have stopped coming, and the newest is older than `after`."""


class BusyError(StreamError):
    """BUSY: too many requests are open; ask again later."""


class AnswerTimeoutError(StreamError):
    """TIMEOUT: there was no complete answer in time."""


class NoReplyError(AnswerTimeoutError):
    """The node has ended, or does not answer what it has taken; of the client only."""


class ResetDuringAnswerError(StreamError):
    """RESET_DURING_ANSWER: the stream began anew before the answer was complete."""


class OutOfMemoryError(StreamError):
    """OUT_OF_MEMORY: the device's memory or the cache is full."""


class InternalError(StreamError):
    """INTERNAL: a fault of the program."""


class FileError(StreamError):
    """FILE_ERROR: a file cannot be written or read, or does not fit."""


_CLASSES: dict[int, type[StreamError]] = {
    ErrorCode.INVALID_REQUEST: InvalidRequestError,
    ErrorCode.NOT_ACTIVE: NotActiveError,
    ErrorCode.NO_FRAMES: NoFramesError,
    ErrorCode.STALE_STREAM: StaleStreamError,
    ErrorCode.BUSY: BusyError,
    ErrorCode.TIMEOUT: AnswerTimeoutError,
    ErrorCode.RESET_DURING_ANSWER: ResetDuringAnswerError,
    ErrorCode.OUT_OF_MEMORY: OutOfMemoryError,
    ErrorCode.INTERNAL: InternalError,
    ErrorCode.FILE_ERROR: FileError,
}
