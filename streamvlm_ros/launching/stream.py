# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node as a launch action, and the description of a launch with one node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import os
import threading
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import OpaqueFunction, SetEnvironmentVariable
from launch.events.process import ProcessExited
from launch_ros.actions import LifecycleNode

from streamvlm_ros.environment import find_share, use_camera_profile
from streamvlm_ros.interrupts import PARENT
from streamvlm_ros.launching.arguments import declare, given_values
from streamvlm_ros.launching.lifecycle import bring_up
from streamvlm_ros.launching.values import (
    check_log_level,
    check_namespace,
    check_topic,
    discovery_environment,
    is_true,
    parameter_arguments,
)
from streamvlm_ros.launching.viewers import foxglove, rviz

NODE_ARGUMENTS = (
    'model', 'device', 'quantization', 'sample_rate', 'image_transport', 'load', 'namespace',
    'image', 'params_file', 'use_sim_time', 'log_level', 'autostart', 'respawn',
)  # fmt: skip
RESPAWN_DELAY = 2.0  # seconds
STOP_TIME = '12'  # seconds until launch loses patience; the node waits up to 10 for its model


def stream_launch(params_file: str = '') -> LaunchDescription:
    """Describe a launch of one node, with a viewer if wanted.

    Args:
        params_file: the YAML of config/ that is the default of params_file; '': none.
    """
    names = (*NODE_ARGUMENTS, 'discovery_range', 'rviz', 'foxglove')

    def start(context: LaunchContext) -> list[Any]:
        # A function, because an empty argument must not set a parameter.
        given = given_values(context, *names)
        return [*stream_node(given), *rviz(given), *foxglove(given)]

    defaults = {'params_file': config_file(params_file)} if params_file else {}
    return LaunchDescription(
        [
            *declare(*names, **defaults),
            *surroundings(),
            *discovery(),
            OpaqueFunction(function=start),
        ]
    )


def stream_node(
    given: Mapping[str, str],
    settings: Mapping[str, Any] | None = None,
    remappings: Sequence[tuple[str, str]] = (),
    if_refused: Sequence[Any] = (),
    *,
    is_one_of_several: bool = False,
    **options: Any,
) -> list[Any]:
    """Return the actions that start a node.

    Args:
        given: a value for each of NODE_ARGUMENTS.
        settings: parameters that count more than those of params_file.
        remappings: of topics, instead of the one of `image`.
        if_refused: actions to run when the node cannot be configured.
        is_one_of_several: it may die without the launch, once it has been configured.
        options: more of what launch_ros.actions.Node takes.

    Raises:
        ValueError: an argument cannot be what it is; said here, because a node that dies of it
            would leave the launch waiting.
    """
    check_arguments(given, check_image=not remappings)
    files: list[Any] = [given['params_file']] if given['params_file'] else []
    respawn = is_true(given.get('respawn', 'false'))
    if respawn and not is_true(given['autostart']):
        raise ValueError('respawn needs autostart: a node that is restarted must activate itself.')
    # rcl applies names in the order in which it meets them: the file's /** has to come before the
    # node's own name, under which launch_ros writes these. What is not given, the file decides.
    # Launch configures it, and hears whether that succeeds; a node that may be started anew does
    # it itself, each time.
    own: dict[str, Any] = {'autostart': respawn, **parameter_arguments(given), **(settings or {})}
    if is_true(given['use_sim_time']):
        own['use_sim_time'] = True
    is_up = threading.Event()

    def ended(event: ProcessExited, context: LaunchContext) -> list[Any]:
        return [] if is_one_of_several and is_up.is_set() else node_ended(event, context)

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
        respawn=respawn,
        respawn_delay=RESPAWN_DELAY,
        **{'on_exit': None if respawn else ended, **options},
    )
    brings_up = is_true(given['autostart']) and not respawn
    return bring_up(node, if_refused, is_up.set) if brings_up else [node]


def check_arguments(given: Mapping[str, str], *, check_image: bool = True) -> None:
    """Refuse values of NODE_ARGUMENTS that a node would die of; raises ValueError."""
    check_log_level(given['log_level'])
    check_namespace(given['namespace'])
    if check_image:
        check_topic('image', given['image'])
    file = given['params_file']
    if file and not os.path.isfile(file):
        raise ValueError(f'params_file is {file!r}, but there is no such file in {os.getcwd()}.')


def node_ended(event: ProcessExited, context: LaunchContext) -> list[Any]:
    """End the launch with 1 when a node has died by itself: nothing else would end it."""
    if event.returncode and not context.is_shutdown:
        raise RuntimeError(
            f'The node {event.process_name} ended with exit code {event.returncode}; see '
            'its messages above.'
        )
    return []


def surroundings() -> list[SetEnvironmentVariable]:
    """Give Fast DDS room for camera images, unless the user has a profile of their own.

    And let the processes end with the launch.
    """
    environment = dict(os.environ)
    use_camera_profile(environment)
    # The processes are to end with the launch, whatever ends it.
    environment[PARENT] = str(os.getpid())
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
            f'config/{name} of streamvlm_ros is not installed; build the package with colcon and '
            "source the workspace's setup file."
        )
    return str(path)
