# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What ends a command with a sentence and exit code 1."""

from __future__ import annotations


class CommandError(Exception):
    """A command cannot do its work; `str(error)` is one sentence for the user."""
