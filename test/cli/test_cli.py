# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command line against a real node, and without one."""

from __future__ import annotations

import json
import pathlib

import pytest

from streamvlm_ros import environment
from streamvlm_ros.cli import main


def test_ask_and_choose(
    domain: int,
    model_folder: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from support.nodes.node_process import Camera, make_image, NodeProcess, SECOND

    with NodeProcess(tmp_path, model=model_folder) as node, Camera(node) as camera:
        camera.wait_ready()
        assert main.main(['ask', 'What is there?']) == 1
        assert 'No frame has come in yet' in capsys.readouterr().err
        for i in range(4):
            camera.publish(make_image((1000 + i) * SECOND, i))
        line = ['ask', 'What is there?', '--after', '1003', '--max-new-tokens', '3', '--json']
        assert main.main(line) == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer['stamp'] == 1003.0
        assert (answer['frames'], answer['completion_tokens']) == (4, 3)
        assert main.main(['choose', 'Which?', 'left', 'right']) == 0
        printed = capsys.readouterr()
        assert printed.out.strip() in ('left', 'right')
        assert printed.err.startswith('(4 frames seen')
        said = []
        for seed in ('3', '3', '4'):
            drawn = ['ask', 'What?', '--temperature', '3', '--top-k', '50', '--seed', seed]
            assert main.main(drawn) == 0
            said.append(capsys.readouterr().out)
        assert said[0] == said[1] != said[2]
        assert main.main(['ask', 'What?', '--top-p', '1.5']) == 1
        assert 'top_p is 1.5; give 0 to 1' in capsys.readouterr().err
        assert main.main(['choose', 'Which?', 'left']) == 1
        assert main.main(['ask', 'What?', '--after', 'soon']) == 1
        assert "'soon' is not a time stamp in seconds." in capsys.readouterr().err
        assert node.stop() == 0


def test_no_node(domain: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(['ask', 'What?', '--node', '/nobody']) == 1
    error = capsys.readouterr().err
    assert 'No node serves /nobody/ask; start one with `streamvlm run`' in error


def test_run_refuses_what_is_no_parameter(domain: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(['run', '-p', 'capacity']) == 1
    assert "'capacity' is not NAME:=VALUE." in capsys.readouterr().err


def test_wrong_command_line() -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(['dance'])
    assert ended.value.code == 2


def test_profile_is_the_users_where_there_is_one() -> None:
    own = {'FASTRTPS_DEFAULT_PROFILES_FILE': '/mine.xml'}
    environment.use_camera_profile(own)
    assert own == {'FASTRTPS_DEFAULT_PROFILES_FILE': '/mine.xml'}


def test_users_profile_has_the_name_that_the_distribution_knows() -> None:
    own = {'ROS_DISTRO': 'jazzy', 'FASTDDS_DEFAULT_PROFILES_FILE': '/mine.xml'}
    environment.use_camera_profile(own)
    assert own['FASTRTPS_DEFAULT_PROFILES_FILE'] == '/mine.xml'


@pytest.mark.parametrize(
    ('distribution', 'variable'),
    [
        ('humble', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
        ('jazzy', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
        ('kilted', 'FASTDDS_DEFAULT_PROFILES_FILE'),
        ('', 'FASTDDS_DEFAULT_PROFILES_FILE'),
    ],
)
def test_profile_of_the_package_is_set_where_there_is_none(
    distribution: str, variable: str
) -> None:
    variables = {'ROS_DISTRO': distribution}
    environment.use_camera_profile(variables)
    assert set(variables) == {'ROS_DISTRO', variable}
    assert pathlib.Path(variables[variable]).is_file()
