# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The store of a stream on its node: parameters, poses, service, status."""
