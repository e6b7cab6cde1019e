# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Camera messages to RGB frames."""

from streamvlm_ros.moved import old_names

__getattr__ = old_names(__name__, f'{__name__}.images')
