# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Callers do not starve each other, and of many at once every one is answered."""

from __future__ import annotations

import collections
from collections.abc import Iterator
import pathlib
import signal
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built: run make test')

from builtin_interfaces.msg import Time
from rcl_interfaces.srv import SetParameters
from rclpy.action import ActionClient
from rclpy.parameter import Parameter as RosParameter
from rclpy.qos import QoSProfile
from std_srvs.srv import SetBool, Trigger
from support.nodes.node_process import Camera, make_image, NodeProcess, SECOND

from streamvlm_ros.action import AnswerQuestion
from streamvlm_ros.nodes.interfaces.gate import MAX_PENDING
from streamvlm_ros.srv import AddWatch, Ask, ListWatches, RemoveWatch, SaveStream

START = 1000 * SECOND
NEVER = Time(sec=2_000_000_000)
TIME = 60.0
DEPTH = 4000  # of the client's own queue, which is to lose nothing either


@pytest.fixture(scope='module')
def node(
    domain: int, model_folder: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp('node')
    settings: dict[str, Any] = {
        'sample_rate': 0.0, 'request_timeout': 0.0, 'save_folder': folder / 'saved',
    }  # fmt: skip
    with NodeProcess(folder, model=model_folder, **settings) as process:
        yield process
        assert process.stop(signal.SIGINT) == 0
        assert 'Traceback' not in process.log()


@pytest.fixture(scope='module')
def camera(node: NodeProcess) -> Iterator[Camera]:
    with Camera(node) as camera:
        camera.wait_ready()
        feed(camera)
        yield camera


def feed(camera: Camera, count: int = 4) -> None:
    for i in range(count):
        camera.publish(make_image(START + camera.published * SECOND // 2, i))
    expected = camera.published
    camera.wait_status(lambda s: s.frames_received == expected and not s.frames_waiting)


def call(camera: Camera, kind: Any, service: str, /, **fields: Any) -> Any:
    future = camera.start_call(kind, service, kind.Request(**fields))
    assert camera.wait_until(future.done, TIME), f'{service} has not answered'
    return future.result()


def test_questions_that_wait_keep_nobody_else_waiting(camera: Camera) -> None:
    request = Ask.Request(question='What?', after=NEVER)  # and the node gives it no time-out
    waiting = [camera.start_call(Ask, 'ask', request) for _ in range(MAX_PENDING)]
    camera.wait_status(lambda status: status.pending_requests == MAX_PENDING)
    assert call(camera, Ask, 'ask', question='What?').error_code == Ask.Response.BUSY
    for paused in (True, False):
        assert call(camera, SetBool, 'set_paused', data=paused).success
    watch = call(camera, AddWatch, 'add_watch', question='Is it?', choices=['yes', 'no'])
    assert watch.success and watch.tokens > 0 and watch.total_tokens == watch.tokens
    assert len(call(camera, ListWatches, 'list_watches').watches) == 1
    assert call(camera, RemoveWatch, 'remove_watch', name=watch.name).success
    assert call(camera, SaveStream, 'save', path='full').success
    assert call(camera, Trigger, 'reset').success
    assert not any(future.done() for future in waiting)
    camera.publish(make_image(NEVER.sec * SECOND))
    assert camera.wait_until(lambda: all(future.done() for future in waiting), TIME)
    assert call(camera, Trigger, 'reset').success
    feed(camera)


@pytest.mark.parametrize('images', [0, 60])
@pytest.mark.parametrize('number', [200, 1000])
def test_many_calls_at_once(camera: Camera, number: int, images: int) -> None:
    """Also while the executor has images to take."""
    client = camera.node.create_client(
        Ask, f'{camera.target}/ask', qos_profile=QoSProfile(depth=DEPTH)
    )
    assert client.wait_for_service(TIME)
    for i in range(images):
        stamp = START + camera.published * SECOND
        camera.publish(make_image(stamp, i, width=640, height=480))
    request = Ask.Request(question='What happened?', max_new_tokens=2)
    calls = [client.call_async(request) for _ in range(number)]
    assert camera.wait_until(lambda: all(each.done() for each in calls), TIME)
    codes = collections.Counter(each.result().error_code for each in calls)
    assert set(codes) == {Ask.Response.NONE, Ask.Response.BUSY}
    assert codes[Ask.Response.NONE] >= MAX_PENDING
    camera.node.destroy_client(client)


def test_many_goals_at_once(camera: Camera) -> None:
    deep = QoSProfile(depth=DEPTH)
    client: Any = ActionClient(
        camera.node, AnswerQuestion, f'{camera.target}/answer', goal_service_qos_profile=deep,
        result_service_qos_profile=deep, feedback_sub_qos_profile=deep,
    )  # fmt: skip
    assert client.wait_for_server(TIME)
    goal = AnswerQuestion.Goal(question='What happened?', max_new_tokens=2)
    sent = [client.send_goal_async(goal) for _ in range(200)]
    assert camera.wait_until(lambda: all(each.done() for each in sent), TIME)
    accepted = [each.result() for each in sent if each.result().accepted]
    assert len(accepted) >= MAX_PENDING
    results = [each.get_result_async() for each in accepted]
    assert camera.wait_until(lambda: all(each.done() for each in results), TIME)
    assert all(each.result().result.success for each in results)
    client.destroy()


def test_many_parameters_at_once(camera: Camera) -> None:
    client = camera.node.create_client(
        SetParameters, f'{camera.target}/set_parameters', qos_profile=QoSProfile(depth=DEPTH)
    )
    assert client.wait_for_service(TIME)
    policy = RosParameter('policy', value='balanced').to_parameter_msg()
    calls = [client.call_async(SetParameters.Request(parameters=[policy])) for _ in range(2000)]
    assert camera.wait_until(lambda: all(each.done() for each in calls), TIME)
    assert all(each.result().results[0].successful for each in calls)
    camera.node.destroy_client(client)
