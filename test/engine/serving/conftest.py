# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A worker that runs."""

from __future__ import annotations

import pytest
from support.workers import engine

from streamvlm_ros.engine import StreamWorker


@pytest.fixture
def worker():
    """Return a running worker that takes every frame."""
    running = StreamWorker(engine())
    running.start()
    yield running
    running.stop()
    assert not running._thread._thread.is_alive()
