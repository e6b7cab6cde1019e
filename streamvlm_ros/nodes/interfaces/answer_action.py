# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The action that streams answers and can be canceled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile

from streamvlm_ros.action import AnswerQuestion
from streamvlm_ros.engine import ErrorCode, StreamError
from streamvlm_ros.msg import Answer as AnswerMsg
from streamvlm_ros.nodes.faults import Faults
from streamvlm_ros.nodes.interfaces import messages
from streamvlm_ros.nodes.interfaces.gate import MAX_PENDING, Places
from streamvlm_ros.nodes.interfaces.goal import Goal
from streamvlm_ros.nodes.interfaces.pictures import Pictures
from streamvlm_ros.nodes.interfaces.submit import ParameterValue
from streamvlm_ros.nodes.serving_node import SERVICE_DEPTH
from streamvlm_ros.nodes.texts import quoted

# Seconds for which the result of a goal that is over can be asked for; see distributions.py.
RESULT_TIMEOUT = 60


class AnswerAction:
    """`~/answer`. Every goal is a coroutine that awaits the worker, on the node's executor."""

    def __init__(
        self,
        node: Node,
        questions: Places,
        parameter: ParameterValue,
        publish: Callable[[AnswerMsg], object],
        pictures: Pictures,
        faults: Faults,
    ) -> None:
        """Serve the action; goals are refused until the gate is open.

        Args:
            node: whose action it is.
            questions: the places that goals share with the services that answer questions.
            parameter: returns a parameter's value as it is now.
            publish: publishes an answer that is complete, and raises nothing.
            pictures: writes the frames of answers.
            faults: counts faults of the program.

        """
        self._log, self._debug = node.get_logger().info, node.get_logger().debug
        self._questions = questions
        self._faults = faults
        self._parameter = parameter
        self._publish, self._pictures = publish, pictures
        self._goals: dict[bytes, Goal] = {}  # oldest first
        depth = QoSProfile(depth=SERVICE_DEPTH)
        self._server: ActionServer[Any, Any, Any] = ActionServer(
            node,
            AnswerQuestion,
            '~/answer',
            self._execute,
            callback_group=ReentrantCallbackGroup(),
            goal_callback=self._decide,
            handle_accepted_callback=self._accept,
            cancel_callback=self._cancel,
            goal_service_qos_profile=depth,
            result_service_qos_profile=depth,
            cancel_service_qos_profile=depth,
            feedback_pub_qos_profile=depth,
            result_timeout=RESULT_TIMEOUT,
        )

    @property
    def unfinished(self) -> int:
        """Goals that have no result yet."""
        return len(self._goals)

    def destroy(self) -> None:
        """Take the action out of the graph."""
        self._server.destroy()

    def _decide(self, _: AnswerQuestion.Goal) -> GoalResponse:
        """Accept or refuse at once; a refusal carries no text, so the log says why."""
        try:
            why = self._why_not()
        except Exception as error:
            why = str(self._faults.caught(error, 'Deciding about a goal'))
        if why:
            self._log(f'A goal was refused: {why}')
        return GoalResponse.REJECT if why else GoalResponse.ACCEPT

    def _why_not(self) -> str:
        """Return why no goal is accepted now; empty: it is."""
        if not self._questions.is_open:
            return 'the node is not active.'
        if max(len(self._goals), self._questions.taken) >= MAX_PENDING:
            return f'{MAX_PENDING} requests are waiting already.'
        if self._parameter('goal_policy') == 'reject' and not self._has_room():
            return f'max_goals ({self._parameter("max_goals")}) are open, goal_policy is reject.'
        return ''

    def _accept(self, handle: Any) -> None:
        """Begin with a goal; an error before its execution becomes its result."""
        try:
            if self._parameter('goal_policy') == 'preempt':
                self._make_room()
            self._goals[bytes(handle.goal_id.uuid)] = Goal(handle, self._parameter, self._faults)
        except Exception as error:
            self._faults.caught(error, 'Accepting a goal')
        handle.execute()

    def _make_room(self) -> None:
        """End the oldest goals until there is room for one more."""
        opened = self._open_goals()
        too_many = len(opened) + 1 - int(self._parameter('max_goals'))
        for goal in opened[: max(0, too_many)]:
            goal.end(
                StreamError(
                    ErrorCode.BUSY,
                    'A newer goal has taken the place of this one (goal_policy is preempt).',
                )
            )

    def _cancel(self, handle: Any) -> CancelResponse:
        try:
            goal = self._goals.get(bytes(handle.goal_id.uuid))
            if goal is None:
                return CancelResponse.REJECT
            goal.end()
            return CancelResponse.ACCEPT
        except Exception as error:
            self._faults.caught(error, 'Canceling a goal')
            return CancelResponse.REJECT

    def _open_goals(self) -> list[Goal]:
        return [goal for goal in self._goals.values() if goal.is_open]

    def _has_room(self) -> bool:
        return len(self._open_goals()) < self._parameter('max_goals')

    async def _execute(self, handle: Any) -> AnswerQuestion.Result:
        key = bytes(handle.goal_id.uuid)
        try:
            return await self._answer(self._goals[key])
        except Exception as error:
            fault = self._faults.caught(error, 'A goal')
            if handle.is_active:
                handle.abort()
            return messages.fill_failure(AnswerQuestion.Result(), fault)
        finally:
            self._goals.pop(key, None)

    async def _answer(self, goal: Goal) -> AnswerQuestion.Result:
        result = AnswerQuestion.Result()
        try:
            if goal.ended:  # while it waited
                return self._ended(goal, goal.why, result)
            answered = await self._questions.result(goal.submit)
        except StreamError as error:
            return self._ended(goal, goal.why if goal.ended else error, result)
        frames = await self._pictures.messages(answered)
        answer = messages.answer_message(answered)
        self._debug(f'{quoted(answer.question, 500)} is answered by {quoted(answer.text, 500)}.')
        goal.handle.succeed()
        self._publish(answer)
        return messages.fill_success(result, answer=answer, frames=frames)

    @staticmethod
    def _ended(
        goal: Goal, why: StreamError | None, result: AnswerQuestion.Result
    ) -> AnswerQuestion.Result:
        """Return the result of a goal without a complete answer; no fault: it was canceled."""
        result.answer = goal.partial()
        if why is None:
            goal.handle.canceled()
            return messages.fill_success(result)
        goal.handle.abort()
        return messages.fill_failure(result, why)
