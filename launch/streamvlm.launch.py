# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Starts one streamvlm node; `ros2 launch streamvlm_ros streamvlm.launch.py --show-args`."""

import os

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from streamvlm_ros.cli.graph import use_camera_profile

ARGUMENTS = {
    'model': ('', "'tiny', a folder or a hub id; empty: that of params_file, or tiny"),
    'image': ('image', 'the camera topic'),
    'namespace': ('', 'namespace of the node'),
    'params_file': ('', 'YAML with parameters; config/ has one for each target'),
    'use_sim_time': ('false', 'take the time from /clock'),
    'log_level': ('info', 'debug, info, warn, error or fatal'),
}


def generate_launch_description() -> LaunchDescription:
    """Return the description that ros2 launch runs."""
    return LaunchDescription(
        [
            *[
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ],
            *camera_profile(),
            OpaqueFunction(function=start_node),
        ]
    )


def camera_profile() -> list[SetEnvironmentVariable]:
    """Give Fast DDS room for camera images, unless the user has a profile of their own."""
    environment = dict(os.environ)
    use_camera_profile(environment)
    added = environment.items() - os.environ.items()
    return [SetEnvironmentVariable(name, value) for name, value in added]


def start_node(context: LaunchContext) -> list[Node]:
    """Return the node; a function, because an empty argument must leave no parameter behind."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    parameters: list[object] = [{'use_sim_time': given['use_sim_time'].lower() == 'true'}]
    if given['params_file']:
        parameters.append(given['params_file'])
    if given['model']:
        parameters.append({'model': given['model']})
    return [
        Node(
            package='streamvlm_ros',
            executable='streamvlm_node',
            name='streamvlm',
            namespace=given['namespace'],
            parameters=parameters,
            remappings=[('image', given['image'])],
            arguments=['--ros-args', '--log-level', given['log_level']],
            output='screen',
            emulate_tty=True,
        )
    ]
