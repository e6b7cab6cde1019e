# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The store: frames, poses and answers on disk, as a bag. No torch and no ROS are needed."""
