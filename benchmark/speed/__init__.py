# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How fast it is; `python -m benchmark.speed` compares it with stock transformers."""
