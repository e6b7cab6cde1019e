# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How near the answers are to those of the reference, and what asking changes."""
