# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that a node can be asked for, as futures: below the blocking and the async client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.validate_full_topic_name import validate_full_topic_name
from std_srvs.srv import SetBool, Trigger

from streamvlm_ros.action import AnswerQuestion
from streamvlm_ros.client import requests
from streamvlm_ros.client.calls import Calls, DISCOVERY_TIME, REPLY_MARGIN
from streamvlm_ros.client.goals import Goal, Goals, Piece
from streamvlm_ros.client.outputs import (
    Answer,
    answer_of,
    forgotten_of,
    saved_of,
    SavedStream,
    Status,
    watch_of,
    WatchInfo,
)
from streamvlm_ros.client.participant import Participant
from streamvlm_ros.client.status import StatusBoard
from streamvlm_ros.client.watching import Events, Happening, Watching
from streamvlm_ros.errors import ErrorCode, StreamError
from streamvlm_ros.srv import AddWatch, Ask, AskChoice, Forget, ListWatches, LoadStream, SaveStream
from streamvlm_ros.store.moments import Forgotten

LOAD_TIME = 900.0  # seconds; a large model from a slow disk


class Core:
    """The operations of one node.

    A value that is not possible raises InvalidRequestError at once; all else comes by the future.
    What a question looks at comes as the fields of the request, from `requests`.
    """

    def __init__(self, name: str, node: Node | None, domain_id: int | None) -> None:
        """Join the graph; the arguments are those of `StreamClient`."""
        self.target = full_name(name, node)
        if node is not None and domain_id is not None:
            raise requests.invalid('domain_id is that of the node, where a node is given.')
        self.participant = Participant(node, domain_id)
        self._calls = Calls(self.participant, self.target)
        self._goals = Goals(self._calls)
        self._events = Events(self._calls)
        self._board = StatusBoard(self._calls)

    def ask(
        self,
        question: str,
        *,
        after: int | Time,
        timeout: float,
        max_new_tokens: int,
        update_state: bool,
        options: requests.GenerationOptions,
        look: dict[str, Any],
    ) -> Future[Answer]:
        """Call `~/ask`."""
        fields = requests.question_fields(question, after=after, timeout=timeout)
        more = requests.text_fields(max_new_tokens, update_state, options)
        request = Ask.Request(**fields, **more, **look)
        return self._calls.call(Ask, 'ask', request, _answer, _limit(timeout))

    def ask_choice(
        self,
        question: str,
        choices: Sequence[str],
        *,
        after: int | Time,
        timeout: float,
        look: dict[str, Any],
    ) -> Future[Answer]:
        """Call `~/ask_choice`."""
        fields = requests.question_fields(question, after=after, timeout=timeout)
        given = requests.texts('choices', choices)
        request = AskChoice.Request(**fields, choices=given, **look)
        return self._calls.call(
            AskChoice,
            'ask_choice',
            request,
            lambda response: _answer(response, given),
            _limit(timeout),
        )

    def stream_answer(
        self,
        put: Callable[[Piece], object],
        question: str,
        choices: Sequence[str],
        *,
        after: int | Time,
        timeout: float,
        max_new_tokens: int,
        update_state: bool,
        options: requests.GenerationOptions,
        look: dict[str, Any],
    ) -> Goal:
        """Send a goal of `~/answer`."""
        fields = requests.question_fields(question, after=after, timeout=timeout)
        more = requests.text_fields(max_new_tokens, update_state, options)
        given = requests.texts('choices', choices)
        request = AnswerQuestion.Goal(**fields, **more, **look, choices=given)
        return self._goals.start(request, _limit(timeout), put)

    def watch(
        self,
        put: Callable[[Happening], object],
        question: str,
        choices: Sequence[str],
        *,
        name: str,
        threshold: float,
        hold: int,
        keep: bool,
        timeout: float,
        look: dict[str, Any],
    ) -> Watching:
        """Call `~/add_watch`, and listen to `~/events`."""
        request = AddWatch.Request(
            question=requests.text('question', question),
            choices=requests.texts('choices', choices),
            name=requests.text('name', name),
            threshold=requests.number('threshold', threshold),
            hold=requests.whole('hold', hold, 1),
            **look,
        )
        limit = requests.seconds(timeout)
        watching = Watching(self._events, request, limit=limit, keep=keep, put=put)
        self.participant.start(watching)
        return watching

    def watches(self, timeout: float) -> Future[tuple[WatchInfo, ...]]:
        """Call `~/list_watches`."""
        return self._calls.call(
            ListWatches,
            'list_watches',
            ListWatches.Request(),
            lambda response: tuple(map(watch_of, requests.checked(response).watches)),
            requests.seconds(timeout),
        )

    def save(self, path: str, timeout: float) -> Future[SavedStream]:
        """Call `~/save`."""
        request = SaveStream.Request(path=requests.text('path', path))
        return self._calls.call(SaveStream, 'save', request, _saved, requests.seconds(timeout))

    def load(self, path: str, timeout: float) -> Future[SavedStream]:
        """Call `~/load`."""
        request = LoadStream.Request(path=requests.text('path', path))
        return self._calls.call(LoadStream, 'load', request, _saved, requests.seconds(timeout))

    def forget(self, since: int | Time, until: int | Time, timeout: float) -> Future[Forgotten]:
        """Call `~/forget`."""
        first, last = requests.stamp(since, 'since'), requests.stamp(until, 'until')
        request = Forget.Request(since=first, until=last)
        return self._calls.call(
            Forget,
            'forget',
            request,
            lambda response: forgotten_of(requests.checked(response)),
            requests.seconds(timeout),
        )

    def reset(self, timeout: float) -> Future[str]:
        """Call `~/reset`."""
        limit = requests.seconds(timeout)
        return self._calls.call(Trigger, 'reset', Trigger.Request(), self._told, limit)

    def set_paused(self, paused: bool, timeout: float) -> Future[str]:
        """Call `~/set_paused`."""
        limit = requests.seconds(timeout)
        request = SetBool.Request(data=paused)
        return self._calls.call(SetBool, 'set_paused', request, self._told, limit)

    def status(self, timeout: float) -> Future[Status]:
        """Return the newest status; wait for the first one."""
        limit = requests.seconds(timeout) or DISCOVERY_TIME
        return self._board.wait(lambda _: True, limit, 'says nothing')

    def wait_for_status(
        self, condition: Callable[[Status], bool], timeout: float
    ) -> Future[Status]:
        """Wait for a status that meets a condition."""
        limit = requests.seconds(timeout)
        return self._board.wait(condition, limit, 'has not come to what was waited for')

    def wait_until_ready(self, timeout: float) -> Future[Status]:
        """Wait until the model is loaded and the node listens to its camera."""
        limit = requests.seconds(timeout)
        return self._board.wait(lambda status: status.is_ready, limit, 'is not ready')

    def _told(self, response: Any) -> str:
        """Return what a service without error codes says; raise if it says no."""
        if response.success:
            return str(response.message)
        status = self._board.newest
        is_active = status is not None and status.state not in ('inactive', 'loading')
        raise StreamError(
            ErrorCode.INTERNAL if is_active else ErrorCode.NOT_ACTIVE, response.message
        )


def full_name(name: str, node: Node | None) -> str:
    """Return a node's name from the root; a relative one begins at the namespace of `node`.

    Raises:
        InvalidRequestError: it is not the name of a node.

    """
    given = requests.text('name', name).rstrip('/')
    namespace = node.get_namespace().rstrip('/') if node is not None else ''
    full = given if given.startswith('/') else f'{namespace}/{given}'
    try:
        validate_full_topic_name(full)
    except InvalidTopicNameException as error:
        why = ' '.join(str(error).split())
        raise requests.invalid(f'{name!r} is not the name of a node: {why}') from None
    return full


def _answer(response: Any, choices: Sequence[str] = ()) -> Answer:
    answered = requests.checked(response)
    return answer_of(answered.answer, choices, answered.frames)


def _saved(response: Any) -> SavedStream:
    return saved_of(requests.checked(response))


def _limit(timeout: float) -> float:
    """Return the seconds for a reply; 0: the node's own timeout counts, unknown here."""
    return timeout + REPLY_MARGIN if timeout else 0.0
