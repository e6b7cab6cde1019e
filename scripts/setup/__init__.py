# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Sets the repository up on a machine without ROS; standard library only. Started by make."""
