# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Two nodes in two namespaces: pause, stale streams, time, compressed images, diagnostics.

The node `front` takes raw images, the node `rear` compressed ones and the time of /clock.
"""

from __future__ import annotations

from collections.abc import Iterator
import pathlib
import signal
import socket
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built: run make test')

from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Time
import cv2
from diagnostic_msgs.msg import DiagnosticStatus
import numpy as np
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter as RosParameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage
from std_srvs.srv import SetBool, Trigger
from support.nodes.node_process import Camera, make_image, NodeProcess, SECOND, wait_diagnostic
from support.nodes.raw_goals import Goals

from streamvlm_ros.action import AnswerQuestion
from streamvlm_ros.msg import StreamStatus
from streamvlm_ros.srv import Ask

TIME = 20.0


@pytest.fixture(scope='module')
def nodes(
    domain: int, model_folder: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    folder = tmp_path_factory.mktemp('nodes')
    given: dict[str, Any] = {'model': model_folder, 'sample_rate': 0.0, 'capacity': 2048}
    rear: dict[str, Any] = {'image_transport': 'compressed', 'use_sim_time': True}
    with (
        NodeProcess(folder, namespace='front', **given) as first,
        NodeProcess(folder, namespace='rear', **given, **rear) as second,
    ):
        yield first, second
        assert first.stop(signal.SIGINT) == 0
        assert second.stop(signal.SIGTERM) == 0
        assert 'Traceback' not in first.log() + second.log()


@pytest.fixture(scope='module')
def shared_front(nodes: tuple[NodeProcess, NodeProcess]) -> Iterator[Camera]:
    with Camera(nodes[0], topic='/front/image', name='/front/streamvlm') as camera:
        camera.wait_ready()
        yield camera


@pytest.fixture(scope='module')
def shared_rear(nodes: tuple[NodeProcess, NodeProcess]) -> Iterator[Camera]:
    topic, name = '/rear/image/compressed', '/rear/streamvlm'
    with Camera(nodes[1], topic=topic, name=name, kind=CompressedImage) as camera:
        camera.wait_ready()
        yield camera


@pytest.fixture
def front(shared_front: Camera) -> Camera:
    return emptied(shared_front)


@pytest.fixture
def rear(shared_rear: Camera) -> Camera:
    return emptied(shared_rear)


def emptied(camera: Camera) -> Camera:
    assert camera.call(Trigger, 'reset', Trigger.Request(), 10.0).success
    camera.wait_status(lambda status: status.state == StreamStatus.WAITING_FOR_IMAGES)
    return camera


def feed(camera: Camera, *images: Any) -> StreamStatus:
    """Publish images and wait until the node has dealt with all that were ever published."""
    for image in images:
        camera.publish(image)
    expected = camera.published
    return camera.wait_status(lambda s: s.frames_received == expected and not s.frames_waiting)


def second(at: int) -> Any:
    return make_image(at * SECOND, at)


def compressed(at: int, suffix: str = 'png') -> CompressedImage:
    """Return the image of that second, compressed."""
    image = second(at)
    pixels = np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3)
    packed = cv2.imencode(f'.{suffix}', pixels[..., ::-1])[1]
    return CompressedImage(header=image.header, format=suffix, data=packed.tobytes())


def set_parameter(camera: Camera, name: str, value: Any) -> None:
    parameter = RosParameter(name, value=value).to_parameter_msg()
    request = SetParameters.Request(parameters=[parameter])
    assert camera.call(SetParameters, 'set_parameters', request).results[0].successful


def pause(camera: Camera, paused: bool) -> str:
    response = camera.call(SetBool, 'set_paused', SetBool.Request(data=paused))
    assert response.success
    return str(response.message)


def test_each_has_its_own_stream(front: Camera, rear: Camera) -> None:
    feed(front, *[second(at) for at in range(1000, 1004)])
    feed(rear, *[compressed(at) for at in range(2000, 2002)])
    first = front.ask('What?', max_new_tokens=5).answer
    other = rear.ask('What?', max_new_tokens=5).answer
    assert (first.frames, first.header.stamp) == (4, Time(sec=1003))
    assert (other.frames, other.header.stamp) == (2, Time(sec=2001))
    emptied(rear)
    assert front.ask('What?', max_new_tokens=5).answer.text == first.text
    assert rear.ask('What?').error_code == Ask.Response.NO_FRAMES


def test_compressed_images_are_seen_as_raw_ones(front: Camera, rear: Camera) -> None:
    """PNG loses nothing, so the answers are the same."""
    feed(front, *[second(at) for at in range(1000, 1004)])
    feed(rear, *[compressed(at) for at in range(1000, 1004)])
    expected = front.ask('What?', max_new_tokens=20).answer
    answer = rear.ask('What?', max_new_tokens=20).answer
    assert answer.text == expected.text
    assert answer.header == expected.header
    assert answer.prompt_tokens == expected.prompt_tokens
    jpeg = feed(rear, compressed(1004, 'jpg'), compressed(1005, 'jpg'))
    assert jpeg.frames_failed == 0
    damaged = compressed(1006)
    damaged.data = damaged.data[:100]
    status = feed(rear, damaged)
    assert status.frames_failed == 1
    assert status.last_error.startswith('The PNG image is cut off after 100 bytes')


def test_pause(front: Camera) -> None:
    before = feed(front, second(1000), second(1001))
    assert pause(front, True) == 'Images are ignored from now on.'
    front.wait_status(lambda status: status.state == StreamStatus.PAUSED)
    ignored = feed(front, second(1002), second(1003))
    assert ignored.state == StreamStatus.PAUSED
    assert ignored.frames_ingested == before.frames_ingested
    assert ignored.frames_sampled_out == before.frames_sampled_out + 2
    assert front.ask('What?', max_new_tokens=2).answer.frames == 2
    # What was not looked at is not what `after` waits for.
    late = front.ask('What?', timeout=0.2, after=Time(sec=1003))
    assert late.error_code == Ask.Response.TIMEOUT
    assert pause(front, False) == 'Images are taken again.'
    front.wait_status(lambda status: status.state == StreamStatus.STREAMING)
    feed(front, second(1004), second(1005))
    answer = front.ask('What?', max_new_tokens=2).answer
    assert (answer.frames, answer.epoch) == (4, before.epoch)


def test_stale(front: Camera) -> None:
    feed(front, second(1000), second(1001))
    # From here on every silence is too long for it.
    set_parameter(front, 'stale_after', 0.001)
    try:
        front.wait_status(lambda status: status.state == StreamStatus.STALE)
        # An answer has the stamp of what it saw; who wants a newer one says so.
        answer = front.ask('What?', max_new_tokens=2).answer
        assert answer.header.stamp == Time(sec=1001)
        response = front.ask('What?', timeout=0.2, after=Time(sec=1002))
        assert response.error_code == Ask.Response.STALE_STREAM
        assert response.error_msg.startswith('Frames have stopped coming: none as new as')
    finally:
        set_parameter(front, 'stale_after', 0.0)
    front.wait_status(lambda status: status.state == StreamStatus.STREAMING)


def test_a_bag_that_loops(front: Camera) -> None:
    """Each time round is an epoch of its own; what is being written when it ends, ends."""
    bag = [second(at) for at in range(1000, 1004)]
    epoch = feed(front, *bag).epoch
    answers = [front.ask('What?', max_new_tokens=5).answer]
    with Goals(front) as goals:
        goal = goals.send(question='Tell me everything.', max_new_tokens=2000, timeout=600.0)
        assert front.wait_until(lambda: bool(goal.feedback), TIME)
        for i in range(1, 3):
            assert feed(front, *bag).epoch == epoch + i
            answers.append(front.ask('What?', max_new_tokens=5).answer)
        assert front.wait_until(lambda: goal.is_over, TIME)
    assert goal.result.error_code == AnswerQuestion.Result.RESET_DURING_ANSWER
    assert {answer.text for answer in answers} == {answers[0].text}
    assert [answer.epoch for answer in answers] == [epoch, epoch + 1, epoch + 2]
    assert {answer.frames for answer in answers} == {4}


def test_diagnostics(front: Camera, rear: Camera) -> None:
    feed(front, second(1000), second(1001))
    streaming = wait_diagnostic(front, lambda message: message.status[0].message == 'Streaming.')
    values = {pair.key: pair.value for pair in streaming.values}
    hardware = f'{socket.gethostname()}:cpu:{front.target}'
    assert (streaming.level, streaming.hardware_id) == (DiagnosticStatus.OK, hardware)
    assert values['State'] == 'streaming'
    assert int(values['Frames received']) == front.published
    waiting = wait_diagnostic(rear, lambda message: message.status[0].level != DiagnosticStatus.OK)
    assert waiting.message.startswith('No image has come yet')


def test_clock_that_jumps(rear: Camera) -> None:
    """Back and forth: status, diagnostics, images, questions and goals go on."""
    clock = rear.node.create_publisher(Clock, '/clock', 10)
    for at, stamp in ((500, 1000), (100, 1002), (90_000, 1004)):
        # As a simulation does it, again and again: what comes before the node has found this
        # publisher is lost, however many subscribers the publisher has found.
        ticking = rear.node.create_timer(
            0.1, lambda at=at: clock.publish(Clock(clock=Time(sec=at)))
        )
        wait_diagnostic(rear, lambda message, at=at: message.header.stamp.sec == at)
        rear.node.destroy_timer(ticking)
        feed(rear, compressed(stamp), compressed(stamp + 1))
        assert rear.ask('What?', max_new_tokens=2).answer.header.stamp.sec == stamp + 1
        with Goals(rear) as goals:
            goal = goals.send(question='What?', max_new_tokens=2)
            assert rear.wait_until(lambda goal=goal: goal.is_over, TIME)
            assert goal.status == GoalStatus.STATUS_SUCCEEDED
    assert rear.ask('What?', max_new_tokens=2).answer.frames == 6
