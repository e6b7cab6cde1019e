# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the launch files share. values.py, playing.py: no launch needed; the others need it."""
