# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What other threads ask of the worker: requests for answers, and calls of the engine."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
import contextlib
import dataclasses
import time
from typing import Any, Generic, TypeVar

from streamvlm_ros.answer_settings import AnswerSettings
from streamvlm_ros.engine.errors import as_stream_error
from streamvlm_ros.engine.outputs import Answer
from streamvlm_ros.engine.questions.sequence import Sequence
from streamvlm_ros.engine.serving.inference import VideoStreamingInference
from streamvlm_ros.view import MEMORY, View

PROGRESS_PERIOD = 0.1  # seconds, at least, between two reports of an answer so far
T = TypeVar('T')


class Call(Generic[T]):
    """A function of the engine that the worker's thread is to run.

    Attributes:
        future: where its result or the StreamError goes.
        error: what the function has raised.

    """

    def __init__(self, function: Callable[[VideoStreamingInference], T]) -> None:
        """Take the function."""
        self.future: Future[T] = Future()
        self._function = function
        self._result: T | None = None
        self.error: BaseException | None = None

    def run(self, engine: VideoStreamingInference) -> None:
        """Run the function, unless the caller has cancelled; ``hand_over`` gives the result."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self._result = self._function(engine)
        except BaseException as error:  # nothing ends the worker's thread
            self.error = error

    def hand_over(self) -> None:
        """Set the future, when everything that follows from the call is done."""
        if self.error is not None:
            self.fail(self.error)
        else:
            with contextlib.suppress(InvalidStateError):
                self.future.set_result(self._result)  # type: ignore[arg-type]

    def fail(self, error: BaseException) -> None:
        """End it with a StreamError, unless the caller has cancelled."""
        with contextlib.suppress(InvalidStateError):
            self.future.set_exception(as_stream_error(error))


@dataclasses.dataclass
class Request:
    """A question whose answer is waited for.

    Attributes:
        question, choices, max_new_tokens, update_state: what is asked; no choices: free text.
        settings: how its tokens are chosen; None: as the model's own settings say.
        view, return_frames: what it looks at, and whether that is to come with the answer.
        is_goal: it is a goal; how many of them are answered at once is limited.
        after_ns: not before a frame with this stamp has been seen.
        timeout: seconds from ``began``; 0: none.
        began: when it was asked, ``time.perf_counter``.
        ready: when what it waits for had been seen; its answer's times count from here.
        future: where the answer or the StreamError goes.
        sequence: the question and its answer, once it is opened.
        on_progress: called with the answer so far.
        told: when that was last called, ``time.perf_counter``.

    """

    question: str
    choices: tuple[str, ...] = ()
    is_choice: bool = False
    max_new_tokens: int = 128
    update_state: bool = False
    settings: AnswerSettings | None = None
    view: View = MEMORY
    return_frames: bool = False
    is_goal: bool = False
    after_ns: int = 0
    timeout: float = 0.0
    began: float = dataclasses.field(default_factory=time.perf_counter)
    ready: float | None = None
    future: Future[Any] = dataclasses.field(default_factory=Future)
    sequence: Sequence | None = None
    on_progress: Callable[[Answer], None] | None = None
    told: float = float('-inf')

    @property
    def deadline(self) -> float:
        """When it times out, on ``time.perf_counter``'s clock."""
        return self.began + self.timeout if self.timeout else float('inf')

    def tell_progress(self) -> None:
        """Call ``on_progress`` with the answer so far, unless that was done just now."""
        now = time.perf_counter()
        sequence = self.sequence
        if self.on_progress is None or sequence is None or not sequence.tokens:
            return
        if not self.future.done() and now - self.told >= PROGRESS_PERIOD:
            self.told = now
            self.on_progress(sequence.answer())

    def finish(self, result: Any) -> None:
        """Hand the result over, unless the caller has cancelled."""
        with contextlib.suppress(InvalidStateError):
            self.future.set_result(result)

    def fail(self, error: BaseException) -> None:
        """Hand the error over as a StreamError, unless the caller has cancelled."""
        with contextlib.suppress(InvalidStateError):
            self.future.set_exception(as_stream_error(error))
