# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: models, frames, cards, times, and how results are written."""
