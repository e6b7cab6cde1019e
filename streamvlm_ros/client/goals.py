# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Goals of the node's action `~/answer`: an answer while it is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.action import ActionClient
from rclpy.qos import QoSProfile

from streamvlm_ros.action import AnswerQuestion
from streamvlm_ros.client.calls import Calls, OPEN_CALLS, Waiting
from streamvlm_ros.client.outputs import Answer, answer_of
from streamvlm_ros.client.requests import checked
from streamvlm_ros.errors import BusyError, ErrorCode

CANCEL_TIME = 5.0  # seconds that a canceled goal may take to end
# Text that was written; the answer, when it is complete; or why there is none.
Piece = str | Answer | Exception


class Goals:
    """The action of one node."""

    def __init__(self, calls: Calls) -> None:
        """Send nothing yet."""
        self.calls = calls
        self._action: Any = None

    def start(
        self, request: AnswerQuestion.Goal, limit: float, put: Callable[[Piece], object]
    ) -> Goal:
        """Send a goal; `put` takes the pieces of its answer, in the participant's thread."""
        goal = Goal(self, request, limit, put)
        self.calls.participant.start(goal)
        return goal

    def action(self) -> Any:
        """Return rclpy's client of the action; in the participant's thread."""
        if self._action is None:
            depth = QoSProfile(depth=OPEN_CALLS)
            self._action = ActionClient(
                self.calls.participant.node,
                AnswerQuestion,
                f'{self.calls.target}/answer',
                goal_service_qos_profile=depth,
                result_service_qos_profile=depth,
                cancel_service_qos_profile=depth,
                feedback_sub_qos_profile=depth,
            )
        return self._action


class Goal:
    """One goal, from sending it to its result."""

    def __init__(
        self,
        goals: Goals,
        request: AnswerQuestion.Goal,
        limit: float,
        put: Callable[[Piece], object],
    ) -> None:
        """Prepare it; `limit`: seconds for its result, 0: as long as the node lives."""
        self._goals, self._request, self._put = goals, request, put
        self._waiting = Waiting(goals.calls, 'answer', limit)
        self._written = ''
        self._handle: Any = None
        self._canceled_at: float | None = None
        self._is_unwanted = self._is_over = False

    def cancel(self) -> None:
        """End the answer in the node, as soon as it has accepted the goal; any thread."""
        self._goals.calls.participant.post(self._cancel)

    def cancel_from_destructor(self) -> None:
        """Do the same within a second, without taking a lock."""
        self._goals.calls.participant.post_from_destructor(self._cancel)

    def step(self, now: float) -> bool:
        """Send it once the node is found; end it when there will be no result."""
        if self._is_over:
            return True
        action = self._goals.action()
        is_served = action.server_is_ready()
        if is_served and self._waiting.sent is None:
            self._waiting.sent = now
            sent = action.send_goal_async(self._request, feedback_callback=self._take_feedback)
            sent.add_done_callback(self._take_response)
        if self._is_unwanted:
            self._canceled_at = now if self._canceled_at is None else self._canceled_at
            if self._waiting.sent is None or now - self._canceled_at > CANCEL_TIME:
                self._end(self._goals.calls.no_reply('has not told how a canceled answer ended'))
        fault = self._waiting.fault(now, is_served)
        if fault is not None:
            self._end(fault)
        return self._is_over

    def abandon(self) -> None:
        """Cancel it; its result is waited for as long as the client waits to close."""
        self._cancel()

    def drop(self, error: Exception) -> None:
        """End it at once."""
        self._end(error)

    def _cancel(self) -> None:
        if self._is_over or self._is_unwanted:
            return
        self._is_unwanted = True
        if self._handle is not None:
            self._handle.cancel_goal_async()

    def _take_response(self, future: Any) -> None:
        handle = future.result()
        if not handle.accepted:
            self._end(
                BusyError(
                    ErrorCode.BUSY,
                    f'{self._goals.calls.target}/answer refused the goal: the node is not active, '
                    'or has too many open; its log says which.',
                )
            )
            return
        self._handle = handle
        handle.get_result_async().add_done_callback(self._take_result)
        if self._is_unwanted:
            handle.cancel_goal_async()

    def _take_feedback(self, message: Any) -> None:
        self._write(message.feedback.text)

    def _write(self, text: str) -> None:
        """Put what is new: every message has the whole text, so that a lost one loses nothing."""
        if not self._is_over and text.startswith(self._written) and text != self._written:
            self._put(text[len(self._written) :])
            self._written = text

    def _take_result(self, future: Any) -> None:
        result = future.result().result
        try:
            answer = answer_of(checked(result).answer, self._request.choices, result.frames)
        except Exception as error:
            self._end(error)
            return
        self._write(answer.text)
        self._end(answer)

    def _end(self, piece: Piece) -> None:
        if not self._is_over:
            self._is_over = True
            self._put(piece)
