# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The one error of the set-up, and a message that several places give."""

from __future__ import annotations

DISK_FULL = 'the disk is full: the packages need 3 GB, or 10 GB with the CUDA build of PyTorch'


class SetupError(Exception):
    """The set-up cannot go on; the message is one sentence that says what to do."""
