# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A disk that keeps what is written or read waiting until the test lets it go on."""

from __future__ import annotations

import os
import threading
from typing import Any

PATIENCE = 60.0  # seconds


class HeldOs:
    """The module ``os`` of the file's writer, whose writing waits until it may go on."""

    def __init__(self, wanted: str) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()
        self._wanted = wanted

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name != self._wanted:
            return real

        def held(*arguments: Any, **options: Any) -> Any:
            self.reached.set()
            assert self.go_on.wait(PATIENCE)
            return real(*arguments, **options)

        return held
