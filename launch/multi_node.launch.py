# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node and a model for each camera, in its namespace: `cameras:='front, rear=/cam/image'`."""

from launch import LaunchDescription

from streamvlm_ros.launching.cameras import nodes_launch


def generate_launch_description() -> LaunchDescription:
    """Return the description that ros2 launch runs."""
    return nodes_launch()
