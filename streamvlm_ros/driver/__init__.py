# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Publishes a source of frames on a topic, as a camera's driver does; needs ROS."""
