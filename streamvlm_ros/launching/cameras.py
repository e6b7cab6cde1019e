# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The description of a launch with one node for each of several cameras."""

from __future__ import annotations

from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import OpaqueFunction

from streamvlm_ros.launching.arguments import declare, given_values
from streamvlm_ros.launching.stream import camera_profile, NODE_ARGUMENTS, stream_node
from streamvlm_ros.launching.values import parse_cameras
from streamvlm_ros.launching.viewers import foxglove


def cameras_launch() -> LaunchDescription:
    """Describe a launch of a node for each camera, in a namespace of its own."""
    shared = [name for name in NODE_ARGUMENTS if name != 'namespace']
    names = ('cameras', *shared, 'foxglove')

    def start(context: LaunchContext) -> list[Any]:
        given = given_values(context, *names)
        actions = foxglove(given)
        for camera in parse_cameras(given['cameras'], given['image']):
            own = {'namespace': camera.namespace, 'image': camera.topic}
            actions += stream_node({**given, **own})
        return actions

    return LaunchDescription([*declare(*names), *camera_profile(), OpaqueFunction(function=start)])
