# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A request on its way through the worker."""

from __future__ import annotations

from concurrent.futures import Future, InvalidStateError
import contextlib
import dataclasses
import time
from typing import Any

import torch

from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.open_question import OpenQuestion


@dataclasses.dataclass
class Request:
    """A question that somebody waits for.

    Attributes:
        question, choices, max_new_tokens, update_state: what is asked; no choices: free text.
        after_ns: not before a frame with this stamp has been seen.
        timeout: seconds from ``began``; 0: none.
        began: when it was asked, ``time.perf_counter``.
        ready: when what it waits for had been seen; its answer's times count from here.
        future: where the answer or the StreamError goes.
        opened: the question's decoding, once it has begun.

    """

    question: str
    choices: tuple[str, ...] = ()
    is_choice: bool = False
    max_new_tokens: int = 128
    update_state: bool = False
    after_ns: int = 0
    timeout: float = 0.0
    began: float = dataclasses.field(default_factory=time.perf_counter)
    ready: float | None = None
    future: Future[Any] = dataclasses.field(default_factory=Future)
    opened: OpenQuestion | None = None

    @property
    def deadline(self) -> float:
        """When it times out, on ``time.perf_counter``'s clock."""
        return self.began + self.timeout if self.timeout else float('inf')

    def finish(self, result: Any) -> None:
        """Hand the result over, unless the caller has cancelled."""
        with contextlib.suppress(InvalidStateError):
            self.future.set_result(result)

    def fail(self, error: BaseException) -> None:
        """Hand the error over as a StreamError, unless the caller has cancelled."""
        with contextlib.suppress(InvalidStateError):
            self.future.set_exception(as_stream_error(error))


def as_stream_error(error: BaseException) -> StreamError:
    """Return the error with a code: what is not known better is INTERNAL."""
    if isinstance(error, StreamError):
        return error
    if isinstance(error, torch.OutOfMemoryError):
        return StreamError(ErrorCode.OUT_OF_MEMORY,
                           f'The device is out of memory; lower capacity or pixels ({error}).')
    return StreamError(ErrorCode.INTERNAL, f'{type(error).__name__}: {error}')
