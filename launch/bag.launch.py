# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Plays a bag, asks, ends: `bag:=FOLDER question:='Which object left last?'`; 0: answered."""

from launch import LaunchDescription

from streamvlm_ros.launching.bag import bag_launch


def generate_launch_description() -> LaunchDescription:
    """Return the description that ros2 launch runs."""
    return bag_launch()
