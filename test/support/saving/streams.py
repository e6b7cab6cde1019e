# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Streams that are saved and loaded, and what is asked of one that refuses a file."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from support.models.random_models import processor, random_clip, random_model

from streamvlm_ros.engine import (
    ErrorCode,
    StreamError,
    StreamSettings,
    VideoStreamingInference,
)


def stream(shape: str = 'grouped', **settings: Any) -> VideoStreamingInference:
    return VideoStreamingInference(
        random_model(shape), processor(), settings=StreamSettings(**{'capacity': 512, **settings})
    )


def feed(engine: VideoStreamingInference, first: int, last: int, seed: int = 1) -> None:
    """Append frames by their numbers; the same number is the same frame."""
    for i in range(first, last):
        engine.append_frame(random_clip(1000 * seed + i, 1, 56, 84)[0], 10.0 + 0.5 * i, 'eye')


def told(engine: VideoStreamingInference) -> tuple:
    """Return all that the stream says of itself and of what it has seen."""
    choice = engine.ask_choice('Which?', ['left', 'right', 'none'])
    # The penalty is over the ids of all that is cached, which are part of a saved stream.
    answer = engine.ask('What is there?', 8, repetition_penalty=1.5)[0]
    return (answer, choice, engine.get_cache_info())


def refused(
    engine: VideoStreamingInference,
    path: pathlib.Path,
    sentence: str,
    code: ErrorCode = ErrorCode.FILE_ERROR,
) -> None:
    """See a load refused with a sentence, and the stream as it was."""
    before = told(engine)
    with pytest.raises(StreamError, match=sentence) as caught:
        engine.load(path)
    assert caught.value.code == code
    assert str(caught.value).endswith('.')
    assert told(engine) == before
