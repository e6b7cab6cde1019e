# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A worker's status with chosen values."""

from __future__ import annotations

import dataclasses
from typing import Any

from streamvlm_ros.engine import WorkerStatus


def worker_status(**values: Any) -> WorkerStatus:
    """A stream that runs well, but for the given values."""
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(WorkerStatus):
        fields[field.name] = {'str': '', 'int': 0, 'float': 0.0}.get(str(field.type))
    fields.update(
        state='streaming',
        epoch=3,
        frames_received=40,
        frames_ingested=40,
        input_rate=4.0,
        ingest_rate=2.0,
        frame_age=0.1254,
        cache_tokens=100,
        cache_capacity=800,
        memory_bytes=4096,
    )
    return WorkerStatus(**{**fields, **values})
