# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node for each camera, in its namespace: `cameras:='front, rear=/usb_cam/image_raw'`."""

from launch import LaunchDescription

from streamvlm_ros.launching.cameras import cameras_launch


def generate_launch_description() -> LaunchDescription:
    """Return the description that ros2 launch runs."""
    return cameras_launch()
