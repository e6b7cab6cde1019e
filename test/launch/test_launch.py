# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The launch files: arguments, and what they start, for real where launch is installed."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
from typing import Any

import numpy as np
import pytest

REASON = 'launch and launch_ros come with a ROS distribution, not with PyPI'
pytest.importorskip('launch', reason=REASON)
pytest.importorskip('launch_ros', reason=REASON)

from launch import LaunchContext, LaunchDescription  # noqa: E402
from launch.actions import (  # noqa: E402
    DeclareLaunchArgument,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.launch_description_sources import get_launch_description_from_python_launch_file  # noqa: E402
from support.launch.session import FOLDER, Session  # noqa: E402

from streamvlm_ros.launching import viewers  # noqa: E402

COMMON = {
    'model', 'image', 'namespace', 'params_file', 'use_sim_time', 'log_level', 'autostart',
    'rviz', 'foxglove', 'discovery_range', 'device', 'quantization', 'sample_rate',
    'image_transport', 'load', 'respawn',
}  # fmt: skip
ARGUMENTS = {
    'streamvlm': COMMON,
    'workstation': COMMON,
    'jetson': COMMON,
    'cpu': COMMON,
    'multi_camera': COMMON - {'rviz'} | {'cameras'},
    'multi_node': COMMON - {'namespace', 'rviz'} | {'cameras'},
    'bag': {
        'bag', 'question', 'choices', 'topic', 'timeout', 'model', 'params_file', 'log_level',
        'discovery_range', 'device', 'quantization', 'sample_rate', 'image_transport', 'load',
        'namespace', 'use_sim_time',
    },
}  # fmt: skip
needs_ros2 = pytest.mark.skipif(shutil.which('ros2') is None, reason='ros2cli is not installed')


def describe(name: str) -> LaunchDescription:
    return get_launch_description_from_python_launch_file(str(FOLDER / f'{name}.launch.py'))


def declared(name: str) -> dict[str, DeclareLaunchArgument]:
    entities = describe(name).entities
    return {e.name: e for e in entities if isinstance(e, DeclareLaunchArgument)}


def test_there_are_no_other_files() -> None:
    assert {file.name for file in FOLDER.glob('*.py')} == {f'{n}.launch.py' for n in ARGUMENTS}


@pytest.mark.parametrize('name', ARGUMENTS)
def test_arguments(name: str) -> None:
    arguments = declared(name)
    assert set(arguments) == ARGUMENTS[name]
    assert all(argument.description for argument in arguments.values())


@pytest.mark.parametrize('name', ['workstation', 'jetson', 'cpu', 'bag'])
def test_each_target_has_its_parameters(name: str) -> None:
    default = declared(name)['params_file'].default_value
    assert default is not None
    assert pathlib.Path(default[0].perform(LaunchContext())) == (
        FOLDER.parent / 'config' / f'{name}.yaml'
    )


@pytest.mark.parametrize('name', ARGUMENTS)
@pytest.mark.parametrize('own', ['', '/mine.xml'])
def test_profile(monkeypatch: pytest.MonkeyPatch, name: str, own: str) -> None:
    monkeypatch.setenv('ROS_DISTRO', 'kilted')
    monkeypatch.setenv('FASTDDS_DEFAULT_PROFILES_FILE', own)
    monkeypatch.delenv('FASTRTPS_DEFAULT_PROFILES_FILE', raising=False)
    context = LaunchContext()
    for entity in describe(name).entities:
        if isinstance(entity, SetEnvironmentVariable):
            entity.execute(context)
    profile = os.environ['FASTDDS_DEFAULT_PROFILES_FILE']
    assert profile == own or (not own and pathlib.Path(profile).is_file())


@pytest.mark.parametrize('name', ARGUMENTS)
def test_discovery_range(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """It is set before any process is started, and left alone where it is not given."""
    monkeypatch.setenv('ROS_DISTRO', 'kilted')
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'SUBNET')
    (limit,) = [
        entity
        for entity in describe(name).entities
        if isinstance(entity, OpaqueFunction) and 'discovery' in repr(entity.__dict__)
    ]
    for wanted, expected in (('', 'SUBNET'), ('localhost', 'LOCALHOST'), ('OFF', 'OFF')):
        context = LaunchContext()
        context.launch_configurations['discovery_range'] = wanted
        for action in limit.execute(context) or []:
            action.execute(context)
        assert os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] == expected
        monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'SUBNET')


def given(**values: str) -> dict[str, str]:
    defaults = dict.fromkeys(('model', 'namespace', 'params_file'), '')
    flags = dict.fromkeys(('use_sim_time', 'rviz', 'foxglove', 'autostart'), 'false')
    return {**defaults, **flags, 'image': 'image', 'log_level': 'info', **values}


@pytest.mark.parametrize('viewer', [viewers.rviz, viewers.foxglove])
def test_viewer(monkeypatch: pytest.MonkeyPatch, viewer: Any) -> None:
    values = given(rviz='true', foxglove='true')
    assert viewer(given()) == []
    monkeypatch.setattr(viewers, 'is_installed', lambda package: False)
    (action,) = viewer(values)
    assert isinstance(action, LogInfo)
    assert 'is not installed' in action.msg[0].perform(LaunchContext())
    monkeypatch.setattr(viewers, 'is_installed', lambda package: True)
    (action,) = viewer(values)
    assert action.node_package in ('rviz2', 'foxglove_bridge')


def test_is_installed() -> None:
    assert viewers.is_installed('rclpy')
    assert not viewers.is_installed('rviz3')


def write_bag(folder: pathlib.Path) -> str:
    from streamvlm_ros.bags.bags import write_bag

    frames = [np.full((56, 84, 3), 30 * i, np.uint8) for i in range(4)]
    write_bag(folder / 'bag', frames, [(1000 + i) * 10**9 for i in range(4)], '/front/image')
    return f'bag:={folder}/bag'


@needs_ros2
def test_node_answers_and_ends_with_ctrl_c(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    from support.nodes.node_process import Camera, make_image, SECOND

    arguments = [f'model:={model_folder}', 'namespace:=robot', 'image:=/front/image', 'rviz:=true']
    with Session(tmp_path, 'cpu.launch.py', *arguments) as session:
        with Camera(topic='/front/image', name='/robot/streamvlm') as camera:
            camera.wait_ready()
            for i in range(4):
                camera.publish(make_image((1000 + i) * SECOND, i))
            camera.wait_status(lambda status: status.frames_ingested == 4)
            assert camera.ask('What is there?', max_new_tokens=2).success
        session.interrupt()
        text = session.log()
        assert 'process has finished cleanly' in text
        # The argument counts more than the file.
        assert f'Loading {model_folder} as float32 on cpu' in text
        assert 'rviz:=true, but rviz2 is not installed' in text or viewers.is_installed('rviz2')


@needs_ros2
@pytest.mark.parametrize(
    ('file', 'namespace', 'log_level', 'processes'),
    [('multi_camera', '/robot', 'info', 1), ('multi_node', '', 'warn', 2)],
)
def test_cameras_see_their_own_images_only(
    domain: int,
    model_folder: pathlib.Path,
    tmp_path: pathlib.Path,
    file: str,
    namespace: str,
    log_level: str,
    processes: int,
) -> None:
    """In one process with one model, and in one with its own for each."""
    from support.nodes.node_process import Camera, make_image, SECOND

    arguments = [f'model:={model_folder}', 'cameras:=front, rear=/usb/image', 'image:=raw']
    arguments.append(f'log_level:={log_level}')
    if namespace:
        arguments.append(f'namespace:={namespace}')
    with Session(tmp_path, f'{file}.launch.py', *arguments) as session:
        with (
            Camera(topic=f'{namespace}/front/raw', name=f'{namespace}/front/streamvlm') as front,
            Camera(topic='/usb/image', name=f'{namespace}/rear/streamvlm') as rear,
        ):
            front.wait_ready()
            rear.wait_ready()
            for i in range(4):
                front.publish(make_image((1000 + i) * SECOND, i))
            for i in range(2):
                rear.publish(make_image((1000 + i) * SECOND, i))
            front.wait_status(lambda status: status.frames_ingested == 4)
            rear.wait_status(lambda status: status.frames_received == 2)
            assert front.status is not None and front.status.frames_received == 4
        session.interrupt()
        assert session.log().count('process has finished cleanly') == processes
        loaded = processes if log_level == 'info' else 0
        assert session.log().count(f'Loading {model_folder} as') == loaded


@needs_ros2
@pytest.mark.parametrize(
    'topic', ['/front/image', '/front/image/compressed', '/usb/jpeg'], ids=['raw', 'usual', 'odd']
)
def test_bag(domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path, topic: str) -> None:
    bag = write_bag(tmp_path)
    if topic != '/front/image':
        from support.nodes.bag_files import compressed_image, write_messages

        frames = [np.full((56, 84, 3), 30 * i, np.uint8) for i in range(4)]
        messages = [compressed_image(frame, 1000 + i) for i, frame in enumerate(frames)]
        write_messages(tmp_path / 'small', {topic: messages})
        bag = f'bag:={tmp_path}/small'
    arguments = [bag, f'model:={model_folder}', 'question:=Is it light?']
    with Session(tmp_path, 'bag.launch.py', *arguments, 'choices:=light, dark') as session:
        assert session.wait() == 0, session.log()
        assert '(4 frames seen' in session.log()


@needs_ros2
@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['bag:=/nowhere'], 'There is no bag at /nowhere.'),
        (['topic:=/rear/image'], 'has no images on /rear/image; it has: /front/image'),
        (['model:=/nowhere'], 'The node could not be configured; see its messages above.'),
        (['choices:=one'], 'The question was not answered; see its messages above.'),
    ],
)
def test_bag_that_fails(
    domain: int,
    model_folder: pathlib.Path,
    tmp_path: pathlib.Path,
    arguments: list[str],
    sentence: str,
) -> None:
    common = [write_bag(tmp_path), f'model:={model_folder}', 'question:=What?']
    with Session(tmp_path, 'bag.launch.py', *common, *arguments) as session:
        assert session.wait() == 1
        assert sentence in session.log()


@needs_ros2
@pytest.mark.parametrize('file', ['cpu', 'multi_camera', 'multi_node'])
@pytest.mark.parametrize(
    ('argument', 'sentence'),
    [
        ('params_file:=/no/such.yaml', "params_file is '/no/such.yaml', but there is no such"),
        ('log_level:=loud', "log_level is 'loud'; it must be one of debug, info"),
        ('image:=/camera//raw', "image is '/camera//raw', which is not a topic"),
        ('sample_rate:=fast', "sample_rate is 'fast'; give a number"),
        # The node refuses it, and dies before it can be configured.
        ('quantization:=int7', 'ended with exit code 1; see its messages above.'),
    ],
)
def test_launch_that_cannot_be(
    domain: int, tmp_path: pathlib.Path, file: str, argument: str, sentence: str
) -> None:
    """It ends with 1 and a sentence; it does not wait for a node that is not there."""
    arguments = [argument, *(['cameras:=front, rear'] if file != 'cpu' else [])]
    with Session(tmp_path, f'{file}.launch.py', *arguments) as session:
        assert session.wait() == 1, session.log()
        assert sentence in session.log()


@needs_ros2
def test_a_node_that_dies_is_started_anew_and_remembers(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    from support.nodes.node_process import Camera, make_image, SECOND

    params = tmp_path / 'params.yaml'
    params.write_text(
        f'/**:\n  ros__parameters: {{sample_rate: 0.0, save_folder: {tmp_path}/saved}}\n'
    )
    arguments = [f'model:={model_folder}', 'respawn:=true', 'load:=kitchen', 'image:=/raw']
    arguments.append(f'params_file:={params}')
    with Session(tmp_path, 'streamvlm.launch.py', *arguments) as session:
        with Camera(topic='/raw') as camera:
            camera.wait_ready()
            for i in range(4):
                camera.publish(make_image((1000 + i) * SECOND, i))
            camera.wait_status(lambda status: status.frames_ingested == 4)
            assert camera.save('kitchen').success
            os.kill(session.node(), signal.SIGKILL)
            camera.status = None
            camera.wait_ready()
            assert camera.ask('What?', max_new_tokens=2, timeout=20.0).answer.frames == 4
        session.interrupt()
        assert session.log().count('Ready: images from /raw') == 2


@needs_ros2
def test_sigterm_leaves_nobody(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """As systemd stops a service."""
    from support.nodes.node_process import Camera

    with Session(tmp_path, 'cpu.launch.py', f'model:={model_folder}') as session:
        with Camera() as camera:
            camera.wait_ready()
        session.terminate()
        assert session.is_alone(), session.log()
