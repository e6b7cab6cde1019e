# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ROS side: messages in, requests to the worker, messages out; never a tensor."""
