# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the launch files read from their arguments, and the commands they make of them."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from streamvlm_ros.cli import main
from streamvlm_ros.launching import playing, values
from streamvlm_ros.launching.values import Camera


@pytest.mark.parametrize(
    ('text', 'value'),
    [('true', True), ('True', True), ('1', True), ('false', False), (' False ', False)],
)
def test_yes_or_no(text: str, value: bool) -> None:
    assert values.is_true(text) is value


@pytest.mark.parametrize('text', ['', 'yes', 'ture'])
def test_neither(text: str) -> None:
    with pytest.raises(ValueError, match='is neither true nor false'):
        values.is_true(text)


@pytest.mark.parametrize('text', ['info', 'DEBUG', 'rcl:=debug'])
def test_log_level(text: str) -> None:
    values.check_log_level(text)


@pytest.mark.parametrize('text', ['', 'loud', ':=debug', 'rcl:=loud', 'warning'])
def test_no_log_level(text: str) -> None:
    with pytest.raises(ValueError, match=r'log_level is .* must be one of debug, info, warn'):
        values.check_log_level(text)


@pytest.mark.parametrize('text', ['image', '/camera/image_raw', '~/image', '_a/b2'])
def test_topic(text: str) -> None:
    values.check_topic('image', text)


@pytest.mark.parametrize('text', ['', '/', 'a//b', 'a/', '2nd', 'a b', '/cam-1', 'ä', 'a/2'])
def test_no_topic(text: str) -> None:
    with pytest.raises(ValueError, match='which is not a topic'):
        values.check_topic('image', text)


@pytest.mark.parametrize('text', ['', '/', 'robot', '/robot/front', 'robot/'])
def test_namespace(text: str) -> None:
    values.check_namespace(text)


@pytest.mark.parametrize('text', ['2nd', 'a b', '/a//b', 'robot-1'])
def test_no_namespace(text: str) -> None:
    with pytest.raises(ValueError, match='namespace is '):
        values.check_namespace(text)


def test_parameters_out_of_arguments() -> None:
    """What is left empty is the file's to say; a whole number is one for sample_rate too."""
    given = dict.fromkeys(values.PARAMETER_ARGUMENTS, '')
    assert values.parameter_arguments(given) == {}
    made = values.parameter_arguments({**given, 'sample_rate': '4', 'device': 'cpu', 'load': 'k'})
    assert made == {'sample_rate': 4.0, 'device': 'cpu', 'load_at_start': 'k'}
    assert isinstance(made['sample_rate'], float)
    with pytest.raises(ValueError, match="sample_rate is 'fast'"):
        values.parameter_arguments({'sample_rate': 'fast'})


@pytest.mark.parametrize('text', ['', 'soon', '0', '-1', 'nan', 'inf'])
def test_no_timeout(text: str) -> None:
    with pytest.raises(ValueError, match='timeout is '):
        values.parse_timeout(text)


def test_list() -> None:
    assert values.parse_list(' yes,no way ,, ') == ['yes', 'no way']
    assert values.parse_list('') == []


def test_cameras() -> None:
    cameras = values.parse_cameras('front, /robot/rear/ = /usb_cam/image_raw ,', 'image')
    assert cameras == [
        Camera('front', 'image'), Camera('robot/rear', '/usb_cam/image_raw'),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('text', 'sentence'),
    [
        ('', 'cameras is empty: list namespaces'),
        (' , ', 'cameras is empty'),
        ('front=', "'front=' is not a camera"),
        ('=/image', "'=/image' is not a camera"),
        ('/', "'/' is not a camera"),
        ('front, rear, /front=x', 'cameras names front more than once'),
    ],
)
def test_refused_cameras(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        values.parse_cameras(text, 'image')


@pytest.mark.parametrize(
    ('namespace', 'name', 'full'),
    [
        ('', 'image', '/image'),
        ('/', 'image', '/image'),
        ('front', 'image', '/front/image'),
        ('/robot/front/', 'camera/image', '/robot/front/camera/image'),
        ('front', '/image', '/image'),
    ],
)
def test_absolute_name(namespace: str, name: str, full: str) -> None:
    assert values.absolute_name(namespace, name) == full


@pytest.mark.parametrize('namespace', ['', '/robot'])
def test_camera_remappings(namespace: str) -> None:
    """From each camera's own topic; a relative name stays one, and lies in its namespace."""
    cameras = [Camera('front', 'image_raw'), Camera('left/rear', '/usb_cam/image_raw')]
    assert values.camera_remappings({'namespace': namespace}, cameras) == [
        (f'{namespace}/front/image', 'image_raw'),
        (f'{namespace}/left/rear/image', '/usb_cam/image_raw'),
    ]


@pytest.mark.parametrize('heard', ['/image', '/image/compressed'])
def test_play_command_is_the_distributions_where_there_is_one(heard: str) -> None:
    command = playing.play_command('/bags/a', '/image', heard, with_rosbag2=True)
    assert '--clock' not in command
    timed = playing.play_command('/b', '/image', heard, with_rosbag2=True, with_clock=True)
    assert '--clock' in timed
    assert command[:6] == ['ros2', 'bag', 'play', '/bags/a', '--topics', '/image']
    assert ('--remap' in command) == (heard != '/image')
    assert heard == '/image' or f'/image:={heard}' in command


def test_commands_are_those_of_modules_that_exist() -> None:
    commands = [
        playing.play_command('/bags/a', '/image', '/image', with_rosbag2=False),
        playing.wait_command('/streamvlm'),
        playing.ask_command('/streamvlm', 'Why?', [], 5.0),
    ]
    for command in commands:
        assert command[:2] == [sys.executable, '-m']
        assert importlib.util.find_spec(command[2]) is not None


@pytest.mark.parametrize('choices', [[], ['yes', 'no way']])
def test_ask_command(choices: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line means to `streamvlm` what it is meant to."""
    seen = []
    monkeypatch.setattr(main.VERBS['ask'], 'run', lambda given: seen.append(given) or 0)
    monkeypatch.setattr(main.VERBS['choose'], 'run', lambda given: seen.append(given) or 0)
    assert main.main(playing.ask_command('/ns/streamvlm', 'Is it?', choices, 7.5)[3:]) == 0
    given = seen[0]
    assert (given.question, given.node, given.timeout) == ('Is it?', '/ns/streamvlm', 7.5)
    assert getattr(given, 'choices', []) == choices


@pytest.mark.parametrize(
    ('wanted', 'distribution', 'expected'),
    [
        ('', 'jazzy', {}),
        ('', 'humble', {}),
        (' localhost', 'jazzy', {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}),
        ('SYSTEM_DEFAULT', '', {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SYSTEM_DEFAULT'}),
        ('LOCALHOST', 'humble', {'ROS_LOCALHOST_ONLY': '1'}),
        ('SUBNET', 'humble', {'ROS_LOCALHOST_ONLY': '0'}),
    ],
)
def test_discovery_environment(wanted: str, distribution: str, expected: dict[str, str]) -> None:
    made = values.discovery_environment(wanted, distribution)
    assert {name: value for name, value in made.items() if value} == expected


@pytest.mark.parametrize(
    ('wanted', 'distribution'), [('LAN', 'jazzy'), ('OFF', 'humble'), ('1', '')]
)
def test_there_is_no_such_discovery_range(wanted: str, distribution: str) -> None:
    with pytest.raises(ValueError, match=r'must be one of .*LOCALHOST'):
        values.discovery_environment(wanted, distribution)
