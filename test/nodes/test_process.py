# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node as a process: how it starts, how it refuses to start, how it ends."""

from __future__ import annotations

import contextlib
import pathlib
import signal
import subprocess
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built: run make test')

from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
from rclpy.parameter import Parameter as RosParameter
from std_srvs.srv import Trigger
from support.nodes.node_process import Camera, make_image, NodeProcess, SECOND
from support.nodes.raw_goals import Goals

from streamvlm_ros.action import AnswerQuestion
from streamvlm_ros.msg import Answer, StreamStatus
from streamvlm_ros.nodes.parameters.table import PARAMETERS
from streamvlm_ros.srv import Ask

LONG = 8000  # tokens: an answer that is not over when the signal comes


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal_while_answering(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path, number: int
) -> None:
    with (
        NodeProcess(tmp_path, model=model_folder) as node,
        Camera(node) as camera,
        Goals(camera) as goals,
    ):
        camera.wait_ready()
        for i in range(4):
            camera.publish(make_image((1000 + i) * SECOND, i))
        # A question that overtakes the images is refused: there is nothing to answer from yet.
        camera.wait_status(lambda status: status.frames_ingested == 4)
        request = Ask.Request(question='Tell me everything.', max_new_tokens=LONG, timeout=600.0)
        open_call = camera.start_call(Ask, 'ask', request)
        goal = goals.send(question='Tell me everything.', max_new_tokens=LONG, timeout=600.0)
        assert camera.wait_until(lambda: bool(goal.accepted and goal.feedback), 20.0)
        camera.wait_status(lambda status: status.state == StreamStatus.ANSWERING)
        # Neither images nor other questions wait for the long answer.
        for i in range(4, 8):
            camera.publish(make_image((1000 + i) * SECOND, i))
        camera.wait_status(lambda status: status.frames_ingested == 8)
        assert camera.ask('And this?', max_new_tokens=2, timeout=20.0).success
        assert not open_call.done() and not goal.is_over
        assert node.stop(number) == 0
        # The reply had gone out before the node went.
        assert camera.wait_until(lambda: open_call.done() and goal.is_over, 5.0)
        assert open_call.result().error_code == Ask.Response.NOT_ACTIVE
        assert open_call.result().error_msg == 'The stream is not running; start the node.'
        assert goal.result.error_code == AnswerQuestion.Result.NOT_ACTIVE
        assert goal.result.answer.text == goal.feedback[-1].text != ''
        assert 'Traceback' not in node.log()


def test_signal_while_starting(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with NodeProcess(tmp_path, model=model_folder) as node, Camera() as camera:
        camera.wait_until(lambda: camera.status is not None or 'Loading' in node.log(), 90.0)
        assert node.stop(signal.SIGINT) == 0
        assert 'Traceback' not in node.log()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('how', ['replaced', 'taken'])
def test_signal_that_others_see_to(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path, how: str, number: int
) -> None:
    program = ('-m', 'support.nodes.deaf_node', how)
    with (
        NodeProcess(tmp_path, model=model_folder, program=program) as node,
        Camera(node) as camera,
    ):
        camera.wait_ready()
        assert node.stop(number) == 0
        assert 'Traceback' not in node.log()


@pytest.mark.parametrize('second', [signal.SIGINT, signal.SIGTERM])
def test_more_signals_while_ending(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path, second: int
) -> None:
    """Launch adds its own SIGINT to that of the terminal, and SIGTERM to a node that is slow."""
    with NodeProcess(tmp_path, model=model_folder) as node, Camera(node) as camera:
        camera.wait_ready()
        node.process.send_signal(signal.SIGINT)
        for _ in range(2000):  # until it has ended, all the time
            with contextlib.suppress(subprocess.TimeoutExpired):
                node.process.wait(0.02)
                break
            node.process.send_signal(second)
        assert node.process.returncode == 0
        assert 'Traceback' not in node.log()


@pytest.mark.parametrize(
    ('parameters', 'sentence'),
    [
        ({'model': '/no/such/folder'}, 'The model folder /no/such/folder does not exist'),
        ({'device': 'cuda:7'}, 'The device cuda:7 was asked for, but PyTorch sees'),
        ({'use_sim_time': "'true'"}, 'A parameter has the wrong type: Trying to set parameter '),
        ({'watches': "'a | b? | c'"}, "The watch 'a' has 1 choice, 'c'; give at least"),
        ({'qos_overrides./image.subscription.depth': "'ten'"}, 'cannot be subscribed to: '),
        ({'cameras': ('a', 'a')}, "The parameter 'cameras' names 'a' twice."),
        ({'cameras': ('a', 'b'), 'memory_bytes': 1 << 42}, 'The KV caches of 2 streams, '),
    ],
)
def test_start_that_cannot_be(
    domain: int, tmp_path: pathlib.Path, parameters: dict[str, Any], sentence: str
) -> None:
    with NodeProcess(tmp_path, **parameters) as node:
        assert node.process.wait(90.0) == 1
        log = node.log()
        assert sentence in log
        assert 'Traceback' not in log


def test_graph_of_the_node(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Parameters as in the table, answers published, latched status for a late client."""
    settings: dict[str, Any] = {'model': model_folder, 'sample_rate': 4, 'max_new_tokens': 3}
    with NodeProcess(tmp_path, **settings) as node, Camera(node) as camera:
        camera.wait_ready()
        names = [parameter.name for parameter in PARAMETERS]
        described = camera.call(
            DescribeParameters, 'describe_parameters', DescribeParameters.Request(names=names)
        )
        for descriptor, parameter in zip(described.descriptors, PARAMETERS):
            assert descriptor.description == parameter.description
            assert descriptor.read_only == parameter.read_only
        check_settable(camera)
        answers: list[Answer] = []
        camera.node.create_subscription(Answer, '/streamvlm/answers', answers.append, 10)
        for i in range(8):
            camera.publish(make_image(1000 * SECOND + i * SECOND // 8, i))
        status = camera.wait_status(lambda s: s.frames_received == 8 and not s.frames_waiting)
        assert (status.frames_ingested, status.frames_sampled_out) == (4, 4)
        response = camera.ask('What is there?')
        assert response.answer.completion_tokens == 2  # as set while it ran
        assert response.answer.finish_reason == Answer.LENGTH
        assert camera.wait_until(lambda: bool(answers), 5.0)
        assert answers[0] == response.answer
        reset_while_answering(camera)
        with Camera() as late:
            assert late.wait_until(lambda: late.status is not None, 5.0)
        assert node.stop() == 0


def reset_while_answering(camera: Camera) -> None:
    """Reset the stream during a long answer, which ends with the code for just that."""
    request = Ask.Request(question='Tell me everything.', max_new_tokens=LONG, timeout=600.0)
    answering = camera.start_call(Ask, 'ask', request)
    camera.wait_status(lambda status: status.state == StreamStatus.ANSWERING)
    assert camera.call(Trigger, 'reset', Trigger.Request(), 10.0).success
    assert camera.wait_until(answering.done, 10.0)
    assert answering.result().error_code == Ask.Response.RESET_DURING_ANSWER
    assert answering.result().error_msg.startswith('The stream was reset while')


def check_settable(camera: Camera) -> None:
    """Set what may be set while the node runs, and see the rest refused."""
    wanted = [
        ('max_new_tokens', 2), ('max_new_tokens', 0), ('chunk_frames', 2),
        ('stale_after', 7), ('goal_policy', 7), ('stale_afte', 7.0),
    ]  # fmt: skip
    request = SetParameters.Request(
        parameters=[RosParameter(name, value=value).to_parameter_msg() for name, value in wanted]
    )
    results = camera.call(SetParameters, 'set_parameters', request).results
    assert [result.successful for result in results] == [True, False, False, True, False, False]
    assert results[1].reason == "The parameter 'max_new_tokens' must be from 1 to 8192, not 0."
    assert results[4].reason == "The parameter 'goal_policy' must be a text, not 7."
    assert "'stale_afte' is unknown; did you mean 'stale_after'?" in results[5].reason
    # `ros2 param set` takes 7 for an integer; it stays the number that it is declared as.
    asked = GetParameters.Request(names=['stale_after'])
    (value,) = camera.call(GetParameters, 'get_parameters', asked).values
    assert (value.type, value.double_value) == (ParameterType.PARAMETER_DOUBLE, 7.0)
