# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The services that answer questions."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from rclpy.node import Node

from streamvlm_ros.engine import Answer, StreamError, StreamWorker
from streamvlm_ros.msg import Answer as AnswerMsg
from streamvlm_ros.nodes.interfaces import messages
from streamvlm_ros.nodes.interfaces.pictures import Pictures
from streamvlm_ros.nodes.interfaces.submit import (
    ParameterValue,
    Submit,
    submit_choice,
    submit_question,
)
from streamvlm_ros.nodes.texts import quoted
from streamvlm_ros.srv import Ask, AskChoice


class AskServices:
    """`~/ask` and `~/ask_choice`."""

    def __init__(
        self,
        node: Node,
        submit: Submit,
        parameter: ParameterValue,
        publish: Callable[[AnswerMsg], object],
        pictures: Pictures,
    ) -> None:
        """Make the services; the node serves what `services` lists.

        Args:
            node: whose log tells of them, at the level DEBUG only.
            submit: hands a request to the worker.
            parameter: returns a parameter's value as it is now.
            publish: publishes an answer, and raises nothing.
            pictures: writes the frames of answers.

        """
        self._log = node.get_logger().debug
        self._submit = submit
        self._parameter = parameter
        self._publish, self._pictures = publish, pictures

    def services(self) -> list[tuple[Any, str, Callable[..., Any]]]:
        """Return type, name and callback of every service."""
        return [(Ask, '~/ask', self._ask), (AskChoice, '~/ask_choice', self._ask_choice)]

    async def _ask(self, request: Ask.Request, response: Ask.Response) -> Ask.Response:
        return await self._answer(
            response, lambda worker: submit_question(worker, request, self._parameter)
        )

    async def _ask_choice(
        self, request: AskChoice.Request, response: AskChoice.Response
    ) -> AskChoice.Response:
        return await self._answer(
            response, lambda worker: submit_choice(worker, request, self._parameter)
        )

    async def _answer(
        self,
        response: messages.Response,
        submit: Callable[[StreamWorker], Future[Answer]],
    ) -> messages.Response:
        try:
            answered = await self._submit(submit)
        except StreamError as error:
            return messages.fill_failure(response, error)
        frames = await self._pictures.messages(answered)
        answer = messages.answer_message(answered)
        self._log(f'{quoted(answer.question, 500)} is answered by {quoted(answer.text, 500)}.')
        self._publish(answer)
        return messages.fill_success(response, answer=answer, frames=frames)
