# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every answer names the frames that it rests on, and whether it is the offline model's."""

from __future__ import annotations

import pathlib
from typing import Any

from support.models.random_models import processor, random_clip, random_model

from streamvlm_ros.engine import Evidence, StreamSettings, VideoStreamingInference

SECOND = 10**9


def stream(**settings: Any) -> VideoStreamingInference:
    """Return an engine without a frame."""
    return VideoStreamingInference(
        random_model('grouped'), processor(), settings=StreamSettings(**settings)
    )


def show(engine: VideoStreamingInference, seconds: range) -> None:
    """Append two frames a second, 64 x 90 pixels each."""
    for frame, half in zip(random_clip(0, 2 * len(seconds), 64, 90), range(2 * seconds[0], 999)):
        engine.append_frame(frame, half * SECOND // 2)


def evidence(engine: VideoStreamingInference) -> Evidence:
    """Return what an answer rests on."""
    return engine.ask('What?', 1).evidence


def test_memory_names_all_that_is_kept_and_waits() -> None:
    """Frames that wait for their chunk are part of it; the size is what the model saw."""
    engine = stream()
    show(engine, range(5, 8))
    seen = Evidence('memory', True, 5 * SECOND, 15 * SECOND // 2, 6, (), 56, 84)
    assert evidence(engine) == seen
    assert engine.questions.choose('Which?', ['a', 'b']).evidence == seen
    assert engine.ask('What?', 1).images == ()


def test_memory_is_exact_until_the_first_eviction_of_an_epoch(tmp_path: pathlib.Path) -> None:
    """What was open before stays exact; a file remembers it; a reset begins again."""
    engine = stream(capacity=200, slack=2)
    show(engine, range(4))
    before = engine.questions.open('What?', 1)
    assert evidence(engine).exact
    show(engine, range(4, 10))
    assert engine.get_cache_info().evicted_tokens
    after = evidence(engine)
    assert not after.exact
    assert after.first_stamp_ns > 0
    assert after.frames < 20
    assert engine.questions.close(before).evidence.exact
    engine.save(tmp_path / 'stream')
    other = stream(capacity=200, slack=2)
    other.load(tmp_path / 'stream')
    assert evidence(other) == after
    engine.reset()
    show(engine, range(20, 22))
    assert evidence(engine).exact
