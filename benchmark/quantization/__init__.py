# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Fewer bits: of weights, and of what a cache stores."""
