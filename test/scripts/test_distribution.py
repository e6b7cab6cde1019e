# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which ROS 2 the wheels are taken of, by what the shell has set."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def choose(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / 'scripts' / 'distribution'), *arguments]
    known = {'PATH': os.environ['PATH'], **variables}
    return subprocess.run(command, capture_output=True, text=True, env=known, check=False)


@pytest.mark.parametrize(
    ('variables', 'chosen'),
    [
        ({}, 'jazzy'),
        ({'ROS_DISTRO': ''}, 'jazzy'),
        ({'ROS_DISTRO': 'kilted'}, 'kilted'),
        ({'ROS_DISTRO': 'kilted', 'ROS_VERSION': '2'}, 'kilted'),
        ({'ROS_DISTRO': 'humble', 'ROS_VERSION': '2'}, 'jazzy'),
    ],
)
def test_choice(variables: dict[str, str], chosen: str) -> None:
    result = choose(**variables)
    assert (result.returncode, result.stdout, result.stderr) == (0, f'{chosen}\n', '')
    wheels = (ROOT / 'requirements' / f'{chosen}.txt').read_text()
    assert f'ros-{chosen}-rclpy==' in wheels


def test_sourced_distribution_without_wheels_is_told() -> None:
    result = choose('--explain', ROS_DISTRO='humble', ROS_VERSION='2')
    assert result.stdout == 'jazzy\n' and 'ROS_DISTRO=humble' in result.stderr


def test_unknown_name_is_refused() -> None:
    result = choose(ROS_DISTRO='kited')
    assert result.returncode == 1 and 'ROS_DISTRO=kited' in result.stderr
