# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Triton kernels of the GPU path.  Only ``ops`` and ``runner`` import them.

Each is tested against a reference in plain PyTorch: ``operations.TorchOperations`` and
``engine/ops/attention.py``.
"""
