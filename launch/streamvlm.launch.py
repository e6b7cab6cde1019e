# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One streamvlm node; `ros2 launch streamvlm_ros streamvlm.launch.py --show-args`."""

from launch import LaunchDescription

from streamvlm_ros.launching.stream import stream_launch


def generate_launch_description() -> LaunchDescription:
    """Return the description that ros2 launch runs."""
    return stream_launch()
