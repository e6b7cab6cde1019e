# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Watches what the vision encoder is given, and what a stream says on its own."""

from __future__ import annotations

from typing import Any

import pytest
from support.models.random_models import processor, random_model
from support.workers import clip, SECOND

from streamvlm_ros.engine import StreamSettings, StreamWorker, VideoStreamingInference
from streamvlm_ros.engine.positions import Grid


class Vit:
    """Counts the temporal patches of every ViT call; ``before`` is called before each."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, before: Any = lambda patches, grid: None
    ) -> None:
        self.grids: list[Grid] = []
        encode = type(random_model('grouped')).encode_video

        def spy(model: Any, patches: Any, grid: Any) -> Any:
            self.grids.append(grid)
            before(patches, grid)
            return encode(model, patches, grid)

        monkeypatch.setattr(type(random_model('grouped')), 'encode_video', spy)

    @property
    def patches(self) -> list[int]:
        return [grid.t for grid in self.grids]


def alone(index: int, frames: int, **settings: Any) -> tuple[str, VideoStreamingInference]:
    """Return what a stream says that has the model for itself, and its engine."""
    engine = VideoStreamingInference(
        random_model('grouped'),
        processor(),
        settings=StreamSettings(**{'sample_rate': 0.0, **settings}),
    )
    for i, frame in enumerate(clip(index, frames)):
        engine.append_frame(frame, (i + 1) * SECOND)
    return engine.ask('What?', 12)[0], engine


def take_turn(worker: StreamWorker) -> None:
    """Let a thread that is not started take a turn, and note what has changed."""
    worker._thread._take_turn()
    for stream in worker._thread._streams:
        stream.tell_changes()
