# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Holds a model's stream to stock transformers, on the user's machine; needs no ROS."""
