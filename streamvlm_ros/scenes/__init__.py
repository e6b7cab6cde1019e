# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Drawn scenes whose truth is known: things, what happens to them, and questions about it.

The demo plays one, and the embedded model has learned from them. Needs NumPy and OpenCV only.
"""
