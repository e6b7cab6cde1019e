# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether this machine can run the node: each finding is a sentence, with what to do."""
