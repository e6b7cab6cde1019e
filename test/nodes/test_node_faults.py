# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the node's own callbacks raise: counted, logged once, told, and never the end of it."""

from __future__ import annotations

from collections.abc import Callable
import math
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built: run make test')

from builtin_interfaces.msg import Time
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    ListParameters,
    SetParameters,
    SetParametersAtomically,
)
from rclpy.action import CancelResponse, GoalResponse
from std_srvs.srv import Trigger
from support.nodes.status import worker_status

from streamvlm_ros.action import AnswerQuestion
from streamvlm_ros.engine import ErrorCode, StreamError
from streamvlm_ros.msg import StreamStatus
from streamvlm_ros.nodes.faults import Faults
from streamvlm_ros.nodes.interfaces import answer_action, messages
from streamvlm_ros.nodes.interfaces.answered import answered
from streamvlm_ros.nodes.texts import quoted, sentence
from streamvlm_ros.srv import Ask, RemoveWatch, SaveStream


def run(coroutine: Any) -> Any:
    """Return what a coroutine that awaits nothing returns."""
    with pytest.raises(StopIteration) as end:
        coroutine.send(None)
    return end.value.value


def broken(*_: Any) -> Any:
    raise RuntimeError('\x1b[31m\n' + 'x' * 10_000)


async def broken_later(*_: Any) -> Any:
    broken()


def test_each_kind_is_counted_and_logged_once() -> None:
    logged: list[str] = []
    faults = Faults(logged.append)
    for _ in range(3):
        assert faults.shield(broken, 'Something')() is None
    assert faults.shield(lambda: 1 / 0, 'Another')() is None
    assert faults.count == 4
    assert len(logged) == 2
    assert 'in broken' in logged[0] and 'ZeroDivisionError' in logged[1]


def test_the_status_tells_of_them_until_the_worker_has_a_newer_one() -> None:
    faults = Faults(lambda _: None)
    assert faults.in_status(worker_status(internal_faults=2)).internal_faults == 2
    faults.shield(broken, 'Something')()
    seen = faults.in_status(worker_status(internal_faults=2, last_error='Old.'))
    assert seen.internal_faults == 3
    assert seen.last_error.startswith('Something failed because of a fault of the program')
    assert len(seen.last_error) < 300 and seen.last_error.isprintable()
    assert faults.in_status(worker_status(last_error='Old.')).last_error == seen.last_error
    assert faults.in_status(worker_status(last_error='New.')).last_error == 'New.'
    assert faults.in_status(worker_status(last_error='Old.')).last_error == 'Old.'


@pytest.mark.parametrize('callback', [broken, broken_later])
def test_a_service_that_raises_answers(callback: Callable[..., Any]) -> None:
    faults = Faults(lambda _: None)
    serve = answered(callback, faults, 'The service ~/ask')
    response = run(serve(Ask.Request(), Ask.Response(success=True)))
    assert (response.success, response.error_code) == (False, ErrorCode.INTERNAL)
    assert response.error_msg.startswith('The service ~/ask failed because of a fault')
    assert 'fault' in run(serve(Trigger.Request(), Trigger.Response())).message
    two = [Parameter(name='a'), Parameter(name='b')]
    results = run(serve(SetParameters.Request(parameters=two), SetParameters.Response())).results
    assert [result.successful for result in results] == [False, False]
    atomic = SetParametersAtomically
    assert 'fault' in run(serve(atomic.Request(parameters=two), atomic.Response())).result.reason
    assert faults.count == 4


@pytest.mark.parametrize(
    ('request_', 'response', 'words'),
    [
        (SaveStream.Request(path='x' * 4097), SaveStream.Response(), 'path has 4097 characters'),
        (RemoveWatch.Request(name='x' * 256), RemoveWatch.Response(), 'give at most 255'),
        (
            SetParameters.Request(parameters=[Parameter(value=ParameterValue(type=10))]),
            SetParameters.Response(),
            'a value of the type 10',
        ),
        (
            SetParameters.Request(parameters=[Parameter()] * 257),
            SetParameters.Response(),
            'The request has 257 parameters; give at most 256',
        ),
        (
            SetParametersAtomically.Request(parameters=[Parameter()] * 257),
            SetParametersAtomically.Response(),
            'give at most 256',
        ),
    ],
)
def test_what_is_too_long_or_no_type_is_not_handed_on(
    request_: Any, response: Any, words: str
) -> None:
    faults = Faults(lambda _: None)
    assert words in str(run(answered(broken, faults, 'The service')(request_, response)))
    assert not faults.count


@pytest.mark.parametrize(
    ('kind', 'field'),
    [(GetParameters, 'names'), (DescribeParameters, 'names'), (ListParameters, 'prefixes')],
)
def test_parameters_are_told_of_a_few_at_a_time(kind: Any, field: str) -> None:
    called = []
    serve = answered(lambda _, response: called.append(1) or response, Faults(print), 'It')
    for number in (256, 257):
        run(serve(kind.Request(**{field: ['model'] * number}), kind.Response()))
        assert called == [1]


class Handle:
    """What the action uses of rclpy's goal handle."""

    def __init__(self) -> None:
        self.goal_id = SimpleNamespace(uuid=bytes(16))
        self.request = AnswerQuestion.Goal(question='What?')
        self.is_active = True
        self.executed = 0

    def execute(self) -> None:
        self.executed += 1

    def abort(self) -> None:
        self.is_active = False


def test_a_goal_whose_callbacks_raise_ends_with_internal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_action, 'ActionServer', lambda *_, **__: None)
    log = SimpleNamespace(info=lambda _: None, debug=lambda _: None)
    node: Any = SimpleNamespace(get_logger=lambda: log)
    places: Any = SimpleNamespace(is_open=True, taken=0, result=broken_later)
    faults = Faults(lambda _: None)
    pictures: Any = SimpleNamespace(messages=broken_later)
    action = answer_action.AnswerAction(node, places, broken, lambda _: None, pictures, faults)
    handle = Handle()
    # Its parameters cannot be read.
    assert action._decide(handle.request) == GoalResponse.REJECT
    action._accept(handle)
    assert handle.executed == 1
    result = run(action._execute(handle))
    assert (result.success, result.error_code) == (False, ErrorCode.INTERNAL)
    assert not handle.is_active and action.unfinished == 0
    assert faults.count == 3
    # Its answer cannot be given.
    action._parameter = lambda name: {'goal_policy': 'queue', 'max_goals': 8}.get(name, 1)
    handle = Handle()
    assert action._decide(handle.request) == GoalResponse.ACCEPT
    action._accept(handle)
    monkeypatch.setattr(action._goals[bytes(16)], 'end', broken)
    assert action._cancel(handle) == CancelResponse.REJECT
    assert run(action._execute(handle)).error_code == ErrorCode.INTERNAL
    assert not handle.is_active and action.unfinished == 0
    assert faults.count == 5


def test_numbers_are_clipped_to_their_fields() -> None:
    status = messages.status_message(
        worker_status(
            frames_received=2**64, watch_tokens=2**40, epoch=-1, watch_seconds=1e300,
            input_rate=-math.inf, frame_age=math.nan, last_error='\x1b[31m' + 'x' * 1000,
            frame_id='f' * 2_000_000, stamp_ns=2**80, oldest_stamp_ns=-(2**80),
        )
    )  # fmt: skip
    assert status.frames_received == 2**64 - 1
    assert (status.watch_tokens, status.epoch) == (2**32 - 1, 0)
    assert math.isfinite(status.watch_seconds) and status.watch_seconds > 3e38
    assert math.isnan(status.frame_age)
    assert status.header.stamp == Time(sec=2**31 - 1, nanosec=10**9 - 1)
    assert status.oldest_stamp == Time(sec=-(2**31))
    assert len(status.header.frame_id) == 4096
    assert len(status.last_error) == 500 and status.last_error.isprintable()
    assert isinstance(status, StreamStatus)


def test_texts_of_others() -> None:
    assert quoted('rgb9') == "'rgb9'"
    for text in ('x' * 10**6, '\x1b' * 10**6, '\u202e', 'a\nb', "'", '\\' * 100, '\ud800'):
        shown = quoted(text, 40)
        assert len(shown) <= 44 and shown.isprintable()
        shown = sentence(text, 40)
        assert len(shown) <= 40 and shown.isprintable()


def test_faults_of_requests_are_none_of_the_program() -> None:
    def refuse(*_: Any) -> Any:
        raise StreamError(ErrorCode.BUSY, 'Later.')

    faults = Faults(lambda _: None)
    response = run(answered(refuse, faults, 'The service')(Ask.Request(), Ask.Response()))
    assert (response.error_code, response.error_msg) == (ErrorCode.BUSY, 'Later.')
    assert not faults.count
