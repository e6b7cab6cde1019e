# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Public benchmarks of streaming video, run on a model's stream and scored; needs no ROS."""
