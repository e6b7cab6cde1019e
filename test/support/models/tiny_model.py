# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The embedded model, loaded once, for tests of what answers mean."""

from __future__ import annotations

import functools
from typing import Any

from streamvlm_ros.engine import StreamQwenModel
from streamvlm_ros.engine.models.folder.checkpoint import resolve_model
from streamvlm_ros.engine.models.processor import load_processor


@functools.cache
def tiny() -> tuple[StreamQwenModel, Any]:
    """Return the model in float32, and its processor."""
    folder = resolve_model('tiny')
    return StreamQwenModel.from_pretrained(folder, dtype='float32'), load_processor(folder)
