# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The launch file: its arguments, and a node that it starts for real where launch is installed."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import subprocess

import pytest

LAUNCH = pathlib.Path(__file__).parents[2] / 'launch' / 'streamvlm.launch.py'
REASON = 'launch and launch_ros come with a ROS distribution, not with PyPI'
pytest.importorskip('launch', reason=REASON)
pytest.importorskip('launch_ros', reason=REASON)

from launch import LaunchContext  # noqa: E402
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable  # noqa: E402
from launch.launch_description_sources import get_launch_description_from_python_launch_file  # noqa: E402


def test_arguments() -> None:
    description = get_launch_description_from_python_launch_file(str(LAUNCH))
    declared = [e for e in description.entities if isinstance(e, DeclareLaunchArgument)]
    assert {argument.name for argument in declared} == {
        'model', 'image', 'namespace', 'params_file', 'use_sim_time', 'log_level',
    }  # fmt: skip
    assert all(argument.description for argument in declared)


@pytest.mark.parametrize('own', ['', '/mine.xml'])
def test_profile(monkeypatch: pytest.MonkeyPatch, own: str) -> None:
    monkeypatch.setenv('FASTDDS_DEFAULT_PROFILES_FILE', own)
    monkeypatch.delenv('FASTRTPS_DEFAULT_PROFILES_FILE', raising=False)
    description = get_launch_description_from_python_launch_file(str(LAUNCH))
    context = LaunchContext()
    for entity in description.entities:
        if isinstance(entity, SetEnvironmentVariable):
            entity.execute(context)
    profile = os.environ['FASTDDS_DEFAULT_PROFILES_FILE']
    assert profile == own or (not own and pathlib.Path(profile).is_file())


@pytest.mark.skipif(shutil.which('ros2') is None, reason='ros2cli is not installed')
def test_launched_node_answers_and_ends(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    from node_process import Camera, make_image, SECOND

    command = ['ros2', 'launch', str(LAUNCH), f'model:={model_folder}', 'namespace:=robot']
    command += ['image:=/front/image', 'log_level:=warn']
    with open(tmp_path / 'log', 'wb') as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        with Camera(topic='/front/image', name='/robot/streamvlm') as camera:
            camera.wait_ready()
            for i in range(4):
                camera.publish(make_image((1000 + i) * SECOND, i))
            camera.wait_status(lambda status: status.frames_ingested == 4)
            assert camera.ask('What is there?', max_new_tokens=2).success
        process.send_signal(signal.SIGINT)
        process.wait(30.0)
        text = (tmp_path / 'log').read_text()
        assert 'process has finished cleanly' in text
        assert 'Loading' not in text
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
