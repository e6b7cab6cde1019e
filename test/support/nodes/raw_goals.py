# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Goals of the node's action `~/answer`."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from rclpy.action import ActionClient
from rclpy.qos import QoSProfile
from support.nodes.raw_client import Client, DISCOVERY_TIME, OPEN_CALLS, REPLY_MARGIN

from streamvlm_ros.action import AnswerQuestion
from streamvlm_ros.errors import CommandError


class Goals:
    """Sends goals to the node of a client; use it in a `with` block inside the client's."""

    def __init__(self, client: Client) -> None:
        """Take the client's node."""
        depth = QoSProfile(depth=OPEN_CALLS)
        self._client = client
        self._target = f'{client.target}/answer'
        self._action: ActionClient[Any, Any, Any] = ActionClient(
            client.node,
            AnswerQuestion,
            self._target,
            goal_service_qos_profile=depth,
            result_service_qos_profile=depth,
            cancel_service_qos_profile=depth,
            feedback_sub_qos_profile=depth,
        )

    def __enter__(self) -> Goals:
        """Return the goals themselves."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the action."""
        self._action.destroy()

    def send(self, on_feedback: Callable[[Any], None] | None = None, **fields: Any) -> Goal:
        """Send a goal with these fields.

        Raises:
            CommandError: no node serves the action.

        """
        if not self._client.wait_until(self._action.server_is_ready, DISCOVERY_TIME):
            raise CommandError(
                f'No node serves {self._target}; start one with `streamvlm run`, or check '
                'ROS_DOMAIN_ID and --node.'
            )
        goal = Goal(on_feedback)
        sent = self._action.send_goal_async(
            AnswerQuestion.Goal(**fields), feedback_callback=goal.take_feedback
        )
        sent.add_done_callback(goal.take_response)
        return goal

    def wait(self, goal: Goal, timeout: float = 0.0) -> Any:
        """Wait for a goal's result and return it.

        Args:
            goal: what `send` has returned.
            timeout: the goal's, in seconds; 0: the node's, which is not known here.

        Raises:
            CommandError: the goal was refused, or no result came.

        """
        limit = timeout + REPLY_MARGIN if timeout else float('inf')
        alive = self._action.server_is_ready
        self._client.wait_until(lambda: goal.is_over or not alive(), limit)
        if goal.accepted is False:
            raise CommandError(
                f'{self._target} refused the goal: the node is not active, or has too many open; '
                'its log says which.'
            )
        if goal.result is None:
            why = 'did not reply in time' if alive() else 'has ended'
            raise CommandError(f'{self._target} {why}; look at its log.')
        return goal.result


class Goal:
    """One goal, from sending it to its result; the client's executor fills it in.

    Attributes:
        accepted: whether the node took it; None: not known yet.
        feedback: the messages that have come.
        status: of action_msgs/GoalStatus, once there is a result; 0 before.
        result: the result; None: not received yet.

    """

    def __init__(self, on_feedback: Callable[[Any], None] | None) -> None:
        """Begin without an answer of the node."""
        self.accepted: bool | None = None
        self.feedback: list[Any] = []
        self.status = 0
        self.result: Any = None
        self._unwanted = False
        self._on_feedback = on_feedback
        self._handle: Any = None

    @property
    def is_over(self) -> bool:
        """Whether it was refused, or has its result."""
        return self.accepted is False or self.result is not None

    def cancel(self) -> None:
        """Ask the node to end it, as soon as it has accepted it."""
        self._unwanted = True
        if self.accepted:
            self._handle.cancel_goal_async()

    def take_response(self, future: Any) -> None:
        """Take the node's answer to the goal; ask for the result if it is accepted."""
        self._handle = future.result()
        self.accepted = self._handle.accepted
        if self.accepted:
            self._handle.get_result_async().add_done_callback(self._take_result)
            if self._unwanted:
                self.cancel()

    def take_feedback(self, message: Any) -> None:
        """Store a message."""
        self.feedback.append(message.feedback)
        if self._on_feedback is not None:
            self._on_feedback(message.feedback)

    def _take_result(self, future: Any) -> None:
        response = future.result()
        self.status, self.result = response.status, response.result
