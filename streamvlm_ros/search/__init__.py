# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Moments of the past by their contents: vectors, words, and the index that holds them."""
