# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The front door for Python programs: one stream, safe to use from several threads."""
