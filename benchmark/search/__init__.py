# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The search for moments: engines of the index, and how well embedders find."""
