# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The front doors of the engine: synchronous inference, and the worker with its thread."""
