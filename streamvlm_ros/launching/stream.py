# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node as a launch action, and the description of a launch with one node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import os
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import OpaqueFunction, SetEnvironmentVariable
from launch_ros.actions import LifecycleNode

from streamvlm_ros.environment import find_share, use_camera_profile
from streamvlm_ros.launching.arguments import declare, given_values
from streamvlm_ros.launching.lifecycle import bring_up
from streamvlm_ros.launching.values import discovery_environment, is_true
from streamvlm_ros.launching.viewers import foxglove, rviz

NODE_ARGUMENTS = (
    'model', 'namespace', 'image', 'params_file', 'use_sim_time', 'log_level', 'autostart',
)  # fmt: skip
STOP_TIME = '12'  # seconds until launch loses patience; the node waits up to 10 for its model


def stream_launch(params_file: str = '') -> LaunchDescription:
    """Describe a launch of one node, with a viewer if wanted.

    Args:
        params_file: which YAML of config/ is the default of params_file; '': none.
    """
    names = (*NODE_ARGUMENTS, 'discovery_range', 'rviz', 'foxglove')

    def start(context: LaunchContext) -> list[Any]:
        # A function, because an empty argument must leave no parameter behind.
        given = given_values(context, *names)
        return [*stream_node(given), *rviz(given), *foxglove(given)]

    defaults = {'params_file': config_file(params_file)} if params_file else {}
    return LaunchDescription(
        [
            *declare(*names, **defaults),
            *camera_profile(),
            *discovery(),
            OpaqueFunction(function=start),
        ]
    )


def stream_node(
    given: Mapping[str, str],
    settings: Mapping[str, Any] | None = None,
    remappings: Sequence[tuple[str, str]] = (),
    if_refused: Sequence[Any] = (),
    **options: Any,
) -> list[Any]:
    """Return the actions that start a node.

    Args:
        given: a value for each of NODE_ARGUMENTS.
        settings: parameters that count more than those of params_file.
        remappings: of topics, in the place of that of `image`.
        if_refused: actions to run when the node cannot be configured.
        options: more of what launch_ros.actions.Node takes.

    Raises:
        ValueError: a value that is neither true nor false.
    """
    files: list[Any] = [given['params_file']] if given['params_file'] else []
    # rcl applies names in the order in which it meets them: the file's /** has to come before the
    # node's own name, under which launch_ros writes these. What is not given, the file decides.
    # Launch configures it, and hears whether that succeeds.
    own: dict[str, Any] = {**(settings or {}), 'autostart': False}
    if is_true(given['use_sim_time']):
        own['use_sim_time'] = True
    if given['model']:
        own['model'] = given['model']
    node = LifecycleNode(
        package='streamvlm_ros',
        executable='streamvlm_node',
        name='streamvlm',
        namespace=given['namespace'],
        parameters=[*files, own],
        remappings=remappings or [('image', given['image'])],
        arguments=['--ros-args', '--log-level', given['log_level']],
        output='screen',
        emulate_tty=True,
        sigterm_timeout=STOP_TIME,
        **options,
    )
    return bring_up(node, if_refused) if is_true(given['autostart']) else [node]


def camera_profile() -> list[SetEnvironmentVariable]:
    """Give Fast DDS room for camera images, unless the user has a profile of their own."""
    environment = dict(os.environ)
    use_camera_profile(environment)
    added = environment.items() - os.environ.items()
    return [SetEnvironmentVariable(name, value) for name, value in added]


def discovery() -> list[OpaqueFunction]:
    """Limit who finds the processes of the launch, as the argument `discovery_range` says."""

    def limit(context: LaunchContext) -> list[SetEnvironmentVariable]:
        wanted = given_values(context, 'discovery_range')['discovery_range']
        variables = discovery_environment(wanted, os.environ.get('ROS_DISTRO', ''))
        return [SetEnvironmentVariable(name, value) for name, value in variables.items()]

    return [OpaqueFunction(function=limit)]


def config_file(name: str) -> str:
    """Return the path of a file in config/.

    Raises:
        FileNotFoundError: the package is not installed as a whole.
    """
    path = find_share(f'config/{name}')
    if path is None:
        raise FileNotFoundError(
            f'config/{name} of streamvlm_ros is not there; build the package with colcon and '
            "source the workspace's setup file."
        )
    return str(path)
