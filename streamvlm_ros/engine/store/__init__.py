# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bytes on disk: files that are replaced as a whole, and what is read from them with care."""
