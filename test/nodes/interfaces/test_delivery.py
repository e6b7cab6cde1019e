# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Images are delivered as the publishers allow, and lost ones are told: processes over DDS."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import os
import pathlib
import subprocess
import sys

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built: run make test')

from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter as RosParameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from support.nodes.node_process import (
    Camera,
    make_image,
    NodeProcess,
    QUEUE,
    SECOND,
    TIME,
    wait_diagnostic,
)

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
PROFILES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
CAMERA = pathlib.Path(__file__).parents[2] / 'support' / 'nodes' / 'camera_process.py'


def is_delivered(camera: Camera, reliability: ReliabilityPolicy) -> bool:
    """Wait until the node's one subscription is of this kind."""

    def is_so() -> bool:
        found = camera.node.get_subscriptions_info_by_topic('/image')
        return [info.qos_profile.reliability for info in found] == [reliability]

    return camera.wait_until(is_so, TIME)


def set_reliability(camera: Camera, value: str) -> None:
    parameter = RosParameter('reliability', value=value).to_parameter_msg()
    request = SetParameters.Request(parameters=[parameter])
    assert camera.call(SetParameters, 'set_parameters', request).results[0].successful


def test_delivery_follows_the_publishers(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with (
        NodeProcess(tmp_path, reliability='', model=model_folder) as node,
        Camera(node) as camera,
    ):
        camera.wait_ready()
        assert is_delivered(camera, RELIABLE)
        camera.publish(make_image(1000 * SECOND))
        camera.wait_status(lambda status: status.frames_received == 1)
        # One that offers less comes: all are heard.
        profile = QoSProfile(depth=QUEUE, reliability=BEST_EFFORT)
        lesser = camera.node.create_publisher(Image, '/image', profile)
        assert is_delivered(camera, BEST_EFFORT)
        assert camera.wait_until(lambda: lesser.get_subscription_count() == 1, TIME)
        lesser.publish(make_image(1001 * SECOND))
        camera.wait_status(lambda status: status.frames_received == 2)
        said = wait_diagnostic(camera, lambda m: 'Two publishers' in m.status[0].message)
        assert {pair.key: pair.value for pair in said.values}['Delivery'] == 'best effort'
        # It goes: the others' images are not to be lost.
        camera.node.destroy_publisher(lesser)
        assert is_delivered(camera, RELIABLE)
        set_reliability(camera, 'best_effort')
        assert is_delivered(camera, BEST_EFFORT)
        set_reliability(camera, 'auto')
        assert is_delivered(camera, RELIABLE)
        assert camera.wait_until(lambda: camera.subscribers == 1, TIME)
        camera.publish(make_image(1002 * SECOND))
        camera.wait_status(lambda status: status.frames_received == 3)
        assert 'Delivery of the images on /image is best effort from now on (offered' in node.log()
        assert 'Delivery of the images on /image is reliable from now on.' in node.log()
        assert node.stop() == 0


def test_override_counts_more(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with (
        NodeProcess(tmp_path, reliability='best_effort', model=model_folder) as node,
        Camera(node) as camera,
    ):
        camera.wait_ready()
        assert is_delivered(camera, BEST_EFFORT)
        set_reliability(camera, 'reliable')
        camera.wait_status(lambda status: status.publishers == 1)
        assert is_delivered(camera, BEST_EFFORT)
        assert 'from now on' not in node.log()


@contextlib.contextmanager
def camera_process(reliability: str, count: int, environment: dict[str, str]) -> Iterator[None]:
    command = [sys.executable, str(CAMERA), reliability, str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as process:
        try:
            yield
            assert process.stdin is not None
            process.stdin.close()
            process.wait(TIME)
        finally:
            process.kill()


def without_profile() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in PROFILES}


def test_nothing_is_lost_of_a_reliable_camera(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Without any profile, and with `reliability: auto`."""
    bare = without_profile()
    with (
        NodeProcess(tmp_path, reliability='', environment=bare, model=model_folder) as node,
        Camera(topic='/other') as client,
        camera_process('reliable', 60, bare),
    ):
        client.wait_until(lambda: client.status is not None or node.process.poll(), 90.0)
        status = client.wait_status(lambda status: status.frames_received == 60)
        assert status.frames_lost == 0
        assert 'were lost' not in node.log()


def test_lost_images_are_told(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    bare = without_profile()
    with (
        NodeProcess(tmp_path, reliability='', environment=bare, model=model_folder) as node,
        Camera(topic='/other') as client,
        camera_process('best_effort', 0, bare),
    ):
        client.wait_until(lambda: client.status is not None or node.process.poll(), 90.0)
        told = wait_diagnostic(client, lambda message: 'were lost' in message.status[0].message)
        assert told.level == DiagnosticStatus.WARN
        assert 'Delivery is best effort, offered by /camera: let it publish reliably' in (
            told.message
        )
        values = {pair.key: pair.value for pair in told.values}
        lost = int(values['Frames lost on the way'])
        assert lost >= 3
        assert float(values['Publishing rate (Hz)']) > float(values['Input rate (Hz)'])
        client.wait_status(lambda status: status.frames_lost >= lost)
        # Some more reports of it, and one line in the log.
        wait_diagnostic(client, lambda message: 'were lost' in message.status[0].message)
        assert node.log().count('images on /image were lost') == 1


def test_gaps_in_stamps_are_told(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with NodeProcess(tmp_path, model=model_folder) as node, Camera(node) as camera:
        camera.wait_ready()
        for i in range(60):
            if i < 20 or i % 4:
                camera.publish(make_image(1000 * SECOND + i * SECOND // 30))
        told = wait_diagnostic(camera, lambda message: 'about 10 ' in message.status[0].message)
        assert told.level == DiagnosticStatus.WARN
        assert 'gaps of up to 0.067 s where 0.033 s are usual: about 10 images' in told.message
        assert node.log().count('have gaps of up to') == 1
