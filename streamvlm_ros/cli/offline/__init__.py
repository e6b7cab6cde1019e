# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Verbs of the command line that need neither ROS nor a running node."""
