# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""rviz2 and foxglove_bridge, if they are installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ament_index_python.packages import get_package_prefix, PackageNotFoundError
from launch.actions import LogInfo
from launch_ros.actions import Node

from streamvlm_ros.environment import find_share
from streamvlm_ros.launching.values import absolute_name, is_true


def rviz(given: Mapping[str, str]) -> list[Any]:
    """Return rviz2 with the camera's images, or why not; nothing unless `rviz` says true."""
    if not is_true(given['rviz']):
        return []
    topic = absolute_name(given['namespace'], given['image'])
    display = find_share('config/streamvlm.rviz')
    return _viewer(
        'rviz2', 'rviz', given,
        arguments=['-d', str(display)] if display else [], remappings=[('/image', topic)],
    )  # fmt: skip


def foxglove(given: Mapping[str, str]) -> list[Any]:
    """Return foxglove_bridge, or why not; nothing unless `foxglove` says true."""
    return _viewer('foxglove_bridge', 'foxglove', given) if is_true(given['foxglove']) else []


def _viewer(package: str, argument: str, given: Mapping[str, str], **options: Any) -> list[Any]:
    if not is_installed(package):
        name = package.replace('_', '-')
        return [
            LogInfo(
                msg=f'{argument}:=true, but {package} is not installed; the launch continues '
                f'without it. Install it with: sudo apt install ros-$ROS_DISTRO-{name}'
            )
        ]
    parameters = [{'use_sim_time': is_true(given['use_sim_time'])}]
    return [Node(package=package, executable=package, parameters=parameters, **options)]


def is_installed(package: str) -> bool:
    """Tell whether a ROS package is installed."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True
