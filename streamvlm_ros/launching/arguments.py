# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The arguments of the launch files, each described once."""

from __future__ import annotations

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration

REQUIRED = None  # in place of a default

ARGUMENTS: dict[str, tuple[str | None, str]] = {
    'model': ('', "'tiny', a folder or a hub id; empty: as params_file says, or tiny"),
    'image': ('image', 'the camera topic'),
    'device': ('', "'auto', 'cpu', 'cuda', 'cuda:1' or 'balanced'; empty: as params_file says"),
    'quantization': ('', "'none', 'int8' or 'int4'; empty: as params_file says"),
    'sample_rate': ('', 'frames a second that the model sees; empty: as params_file says'),
    'image_transport': ('', "'raw' or 'compressed' images; empty: as params_file says"),
    'load': ('', 'name of a saved stream to begin with, if it exists'),
    'respawn': ('false', 'restart a node that has died; it then configures and activates itself'),
    'namespace': ('', 'namespace of the node'),
    'params_file': ('', 'YAML with parameters; config/ has one for each target'),
    'use_sim_time': ('false', 'take the time from /clock'),
    'log_level': ('info', 'debug, info, warn, error or fatal'),
    'discovery_range': (
        '',
        'who finds these processes: SUBNET, LOCALHOST, OFF or SYSTEM_DEFAULT; empty: as the '
        'environment says',
    ),
    'autostart': ('true', 'configure and activate the node; false: ros2 lifecycle set does it'),
    'rviz': ('false', 'show the camera in rviz2, if it is installed'),
    'foxglove': ('false', 'start foxglove_bridge, if it is installed'),
    'cameras': (REQUIRED, "namespaces, and topics besides 'image': 'front, rear=/cam/image'"),
    'bag': (REQUIRED, 'folder of the bag'),
    'topic': ('', 'the image topic of the bag, raw or compressed; needed if it has several'),
    'question': (REQUIRED, 'what to ask when the bag has been played'),
    'choices': ('', "answers to choose from: 'yes, no'; empty: answer freely"),
    'timeout': ('120', 'seconds that the answer may take'),
}


def declare(*names: str, **defaults: str) -> list[DeclareLaunchArgument]:
    """Return the declarations of some arguments; `defaults` replace those of the table."""
    return [
        DeclareLaunchArgument(
            name, default_value=defaults.get(name, ARGUMENTS[name][0]),
            description=ARGUMENTS[name][1],
        )
        for name in names
    ]  # fmt: skip


def given_values(context: LaunchContext, *names: str) -> dict[str, str]:
    """Return the values of some arguments in a launch that runs."""
    return {name: LaunchConfiguration(name).perform(context) for name in names}
