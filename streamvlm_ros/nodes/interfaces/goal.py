# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One goal of `~/answer`: its feedback while it is being answered, and its early end."""

from __future__ import annotations

from concurrent.futures import Future
import dataclasses
from typing import Any

from streamvlm_ros.action import AnswerQuestion
from streamvlm_ros.engine import Answer, StreamError, StreamWorker
from streamvlm_ros.msg import Answer as AnswerMsg
from streamvlm_ros.nodes.faults import Faults
from streamvlm_ros.nodes.interfaces.messages import answer_message, bounded
from streamvlm_ros.nodes.interfaces.submit import ParameterValue, submit_choice, submit_question

UNFINISHED = '\ufffd'  # stands for a character of which only some bytes are written


class Goal:
    """A goal that was accepted.

    Attributes:
        handle: rclpy's handle of it.
        ended: whether it was ended before its answer was complete.
        why: the fault that it was ended for; None: its client has canceled it.

    """

    def __init__(self, handle: Any, parameter: ParameterValue, faults: Faults) -> None:
        """Take a new goal; `faults` counts faults of the program beside its answer."""
        self.handle = handle
        self.ended = False
        self.why: StreamError | None = None
        self._parameter = parameter
        self._future: Future[Answer] | None = None
        self._so_far: Answer | None = None
        self._text = ''
        self._sequence = 0
        # A fault in the feedback must not end the answer.
        self._tell = faults.shield(self._publish_progress, 'The feedback of a goal')

    @property
    def is_open(self) -> bool:
        """Whether it is still to be answered."""
        return not self.ended and not (self._future is not None and self._future.done())

    def submit(self, worker: StreamWorker) -> Future[Answer]:
        """Hand the question to the worker."""
        request = self.handle.request
        if request.choices:
            self._future = submit_choice(worker, request, self._parameter, is_goal=True)
        else:
            self._future = submit_question(
                worker, request, self._parameter, is_goal=True, on_progress=self._tell
            )
        return self._future

    def end(self, why: StreamError | None = None) -> None:
        """End it at once, unless its answer is complete."""
        if self._future is None or self._future.cancel():
            self.ended, self.why = True, why

    def partial(self) -> AnswerMsg:
        """Return what was written until now."""
        if self._so_far is None:
            return AnswerMsg(
                question=self.handle.request.question, finish_reason=AnswerMsg.CANCELED
            )
        return answer_message(dataclasses.replace(self._so_far, finish_reason='canceled'))

    def _publish_progress(self, answer: Answer) -> None:
        """Publish what is new; called in the worker's thread."""
        text = answer.text.rstrip(UNFINISHED)
        self._so_far = dataclasses.replace(answer, text=text)
        self.handle.publish_feedback(
            bounded(
                AnswerQuestion.Feedback,
                sequence=self._sequence,
                delta=text.removeprefix(self._text),
                text=text,
                tokens=answer.completion_tokens,
            )
        )
        self._sequence += 1
        self._text = text
