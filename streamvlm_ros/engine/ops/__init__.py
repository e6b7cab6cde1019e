# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tensor operations without state: attention, rotation, matrix products, and their kernels."""
