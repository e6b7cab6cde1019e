# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames with their times from files, cameras and networks; needs no ROS and no torch."""

from streamvlm_ros.versions import check_versions, VIDEO

check_versions(VIDEO)
