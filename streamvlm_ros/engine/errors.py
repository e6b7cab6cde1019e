# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The engine's faults that a user can mend, with the codes of `streamvlm_ros.errors`."""

from __future__ import annotations

from typing import cast

import torch

from streamvlm_ros.errors import BusyError, OutOfMemoryError
from streamvlm_ros.errors import ErrorCode as ErrorCode
from streamvlm_ros.errors import StreamError as StreamError


class StillReadError(StreamError):
    """Open answers read what the stream would have to change; it can when one has ended.

    It is also a ``BusyError`` or an ``OutOfMemoryError``, as its code says.
    """

    def __new__(cls, code: ErrorCode, message: str) -> StillReadError:
        """Return an instance of the class of the code, if no class was chosen."""
        chosen = _CLASSES.get(code, cls) if cls is StillReadError else cls
        return cast(StillReadError, super().__new__(chosen, code, message))


class _BusyWhileReadError(StillReadError, BusyError):
    pass


class _NoRoomWhileReadError(StillReadError, OutOfMemoryError):
    pass


_CLASSES: dict[int, type[StillReadError]] = {
    ErrorCode.BUSY: _BusyWhileReadError,
    ErrorCode.OUT_OF_MEMORY: _NoRoomWhileReadError,
}


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
