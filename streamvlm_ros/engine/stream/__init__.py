# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames become cache entries: chunks, the encoder cache, the static filter, the clock."""
