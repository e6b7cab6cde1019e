# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How the embedded model is made, from nothing: scenes, questions, training, evaluation."""
