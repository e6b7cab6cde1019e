# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What several Qwen families have in common: names of weights, folders, the decoder's modules."""
