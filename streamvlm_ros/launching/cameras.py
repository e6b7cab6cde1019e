# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The descriptions of launches with several cameras: in one process, or with a node for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import OpaqueFunction

from streamvlm_ros.launching.arguments import declare, given_values
from streamvlm_ros.launching.stream import (
    discovery,
    NODE_ARGUMENTS,
    stream_node,
    surroundings,
)
from streamvlm_ros.launching.values import (
    Camera,
    camera_remappings,
    check_namespace,
    check_topic,
    parse_cameras,
)
from streamvlm_ros.launching.viewers import foxglove

# The namespaces are those of the cameras.
_SHARED = tuple(name for name in NODE_ARGUMENTS if name != 'namespace')


def cameras_launch() -> LaunchDescription:
    """Describe a launch of one process, whose cameras share the model."""

    def start(given: Mapping[str, str]) -> list[Any]:
        cameras = _cameras(given)
        names = ', '.join(camera.namespace for camera in cameras)
        return stream_node(given, {'cameras': names}, camera_remappings(given, cameras))

    return _launch((*_SHARED, 'namespace'), start)


def nodes_launch() -> LaunchDescription:
    """Describe a launch of one node for each camera, each in its namespace."""

    def start(given: Mapping[str, str]) -> list[Any]:
        actions = []
        for camera in _cameras(given):
            own = {'namespace': camera.namespace, 'image': camera.topic}
            actions += stream_node({**given, **own}, is_one_of_several=True)
        return actions

    return _launch(_SHARED, start)


def _cameras(given: Mapping[str, str]) -> list[Camera]:
    cameras = parse_cameras(given['cameras'], given['image'])
    for camera in cameras:
        check_namespace(camera.namespace)
        check_topic('image', camera.topic)
    return cameras


def _launch(
    node_arguments: Sequence[str], start: Callable[[Mapping[str, str]], list[Any]]
) -> LaunchDescription:
    names = ('cameras', *node_arguments, 'discovery_range', 'foxglove')

    def run(context: LaunchContext) -> list[Any]:
        given = given_values(context, *names)
        return [*foxglove(given), *start(given)]

    return LaunchDescription(
        [*declare(*names), *surroundings(), *discovery(), OpaqueFunction(function=run)]
    )
