# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A span that is older than what is in memory is read from the store."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from support.models.random_models import processor, random_model
from support.store.scenes import fill, picture, shown, stamp

from streamvlm_ros.engine import StreamSettings, VideoStreamingInference
from streamvlm_ros.errors import ErrorCode, StreamError
from streamvlm_ros.store import folder as folders
from streamvlm_ros.store.frames import FrameStore
from streamvlm_ros.view import View

SIZE = 56


@pytest.fixture
def engine() -> VideoStreamingInference:
    """A stream that keeps its last six frames as they came."""
    return VideoStreamingInference(
        random_model('grouped'),
        processor(),
        settings=StreamSettings(
            capacity=512, view_ring_bytes=6 * SIZE * SIZE * 3, view_frames=4, now_frames=2
        ),
    )


def test_a_span_from_the_store(engine: VideoStreamingInference, tmp_path: pathlib.Path):
    folder = tmp_path / 'store'
    for number in range(20):
        engine.append_frame(picture(number, SIZE), stamp(number))

    def ask(first: int, last: int):
        view = View('span', stamp(first), stamp(last))
        return engine.ask('What?', 1, view=view, return_frames=True)

    with pytest.raises(StreamError, match='ask for a later one'):
        ask(3, 10)
    engine.questions.views.store = FrameStore(folder)
    with pytest.raises(StreamError, match='ask for a later one'):
        ask(3, 10)  # nothing is in it yet
    fill(folder, range(20), size=SIZE)
    past = ask(3, 10)
    numbers = (3, 4, 9, 10)
    assert past.evidence.stamps_ns == tuple(map(stamp, numbers)) and past.evidence.exact
    for image, number in zip(past.images, numbers):
        assert np.abs(shown(image) - shown(picture(number, SIZE))).max() < 1.5
    # What is in memory is taken from there, as it came.
    assert np.array_equal(ask(15, 18).images[0], picture(15, SIZE))
    # A span that begins in the store and ends in memory has both.
    whole = ask(3, 19)
    assert whole.evidence.last_stamp_ns == stamp(19) and whole.evidence.frames == 4
    assert whole.evidence.first_stamp_ns == stamp(3)
    for number in range(20, 26):  # not stored
        engine.append_frame(picture(number, SIZE), stamp(number))
    assert ask(3, 25).evidence.stamps_ns == tuple(map(stamp, (3, 4, 24, 25)))
    # A store that cannot be read is a sentence, and the stream goes on.
    path = folder / folders.store_files(folder)[0]
    (folder / 'index.sqlite').unlink()
    version = b'version\x01\x00\x00\x00'
    path.write_bytes(path.read_bytes().replace(version + b'1', version + b'9'))
    with pytest.raises(StreamError, match='version 9') as caught:
        ask(3, 10)
    assert caught.value.code is ErrorCode.FILE_ERROR
    assert ask(21, 25).evidence.frames == 4  # is in memory: the disk is not asked
    assert engine.ask('What is there?', 1, view='now').evidence.frames == 2
