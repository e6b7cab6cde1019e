# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Triton kernels of the GPU path.  Only ``ops`` and ``runner`` import them.

Each has a reference in plain PyTorch that it is held to: ``operations.TorchOperations`` and
``engine/ops/attention.py``.
"""
