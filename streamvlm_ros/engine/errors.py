# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The one exception that the engine raises for faults a user can mend, and its codes."""

from __future__ import annotations

import enum

import torch


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

    Attributes:
        code: what kind of fault it is.

    ``str(error)`` is one sentence that says what was wrong and what to do.

    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class StillReadError(StreamError):
    """Open answers read what the stream would have to change; it can when one has ended."""


def as_stream_error(error: BaseException) -> StreamError:
    """Return the error with a code: what is not known better is INTERNAL."""
    if isinstance(error, StreamError):
        return error
    if isinstance(error, torch.OutOfMemoryError):
        return StreamError(
            ErrorCode.OUT_OF_MEMORY,
            f'The device is out of memory; lower capacity or pixels ({error}).',
        )
    return StreamError(ErrorCode.INTERNAL, f'{type(error).__name__}: {error}')
