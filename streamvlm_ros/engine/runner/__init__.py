# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a model is run: directly, or as passes over static buffers that a GPU replays."""
