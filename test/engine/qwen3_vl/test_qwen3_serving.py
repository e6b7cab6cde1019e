# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Qwen3-VL behind the worker: several cameras in one call, a watch; and an AWQ folder."""

from __future__ import annotations

import pytest
from support.models.awq import write_awq
from support.models.random_models import random_clip
from support.models.random_qwen3 import processor, random_model
from support.reference.play import answer_of
from support.workers import PATIENCE, SECOND
import torch

from streamvlm_ros.engine import (
    open_streams,
    StreamSettings,
    StreamWorker,
    VideoStreamingInference,
)
from streamvlm_ros.engine.models.qwen3_vl.model import StreamQwen3Model
from streamvlm_ros.engine.models.registry import load_model
from streamvlm_ros.engine.ops.quantization import QuantizedWeight

SETTINGS = StreamSettings(sample_rate=0.0, chunk_frames=4)


def clip(camera: int) -> list:
    """Return eight frames of a camera."""
    return random_clip(10 + camera, 8, 64, 96)


def test_cameras_are_encoded_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """With DeepStack's features, and each with its own times; as each would be alone."""
    grids = []
    encode = StreamQwen3Model.encode_video

    def spy(model, patches, grid):
        grids.append(grid.t)
        return encode(model, patches, grid)

    monkeypatch.setattr(StreamQwen3Model, 'encode_video', spy)
    expected = []
    for camera in range(3):
        engine = VideoStreamingInference(random_model('grouped'), processor(), settings=SETTINGS)
        for index, frame in enumerate(clip(camera)):
            engine.append_frame(frame, (index + 1) * (camera + 1) * SECOND)
        expected.append((engine.ask('What?', 12).text, engine.stream))
    grids.clear()
    many: list[StreamWorker] = []
    for engine in open_streams(random_model('grouped'), processor(), [SETTINGS] * 3):
        many.append(StreamWorker(engine, beside=many[0] if many else None))
    for camera, worker in enumerate(many):
        for index, frame in enumerate(clip(camera)):
            worker.submit_frame(frame, (index + 1) * (camera + 1) * SECOND)
    futures = [
        worker.ask('What?', after_ns=8 * (camera + 1) * SECOND, max_new_tokens=12)
        for camera, worker in enumerate(many)
    ]
    many[0].start()
    try:
        texts = [future.result(PATIENCE).text for future in futures]
    finally:
        assert many[0].stop()
    assert grids == [6, 6]
    assert texts == [text for text, _ in expected]
    for worker, (_, other) in zip(many, expected):
        mine = worker._session.engine.stream
        assert mine.state == other.state
        for layer in range(len(other.cache.keys)):
            for ours, theirs in zip(mine.cache.content(layer), other.cache.content(layer)):
                torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_a_watch_is_scored_as_a_question() -> None:
    """Its probabilities after a chunk are those of the same choice question."""
    engine = VideoStreamingInference(random_model('one_kv_head'), processor(), settings=SETTINGS)
    engine.watch('Light?', ['red', 'green'], threshold=0.01, hold=1)
    for index, frame in enumerate(clip(0)):
        engine.append_frame(frame, index * SECOND // 2)
    [event] = engine.score_watches()
    chosen = engine.ask_choice('Light?', ['red', 'green'])
    expected = pytest.approx(chosen.probabilities, abs=1e-5)
    assert event.probabilities == expected and event.choice == chosen.text


def test_an_awq_folder_has_the_published_values(tmp_path) -> None:
    """The names of this family's layers; the ViT and DeepStack's mergers stay whole."""
    plain = write_awq(tmp_path, '', model=random_model('grouped'))
    model = load_model(tmp_path, dtype=torch.float32)
    layer, same = model.layers[0], plain.layers[0]
    assert isinstance(layer.qkv, QuantizedWeight) and isinstance(layer.down, QuantizedWeight)
    assert torch.equal(layer.qkv.dequantized(torch.float32), same.qkv)
    said = []
    for each in (model, plain):
        engine = VideoStreamingInference(each, processor(), settings=SETTINGS)
        for index, frame in enumerate(clip(1)[:7]):
            engine.append_frame(frame, index * SECOND // 2)
        said.append(answer_of(engine, 'What?', 6, False))
    assert said[0][0] == said[1][0]
    assert torch.allclose(said[0][1], said[1][1], atol=1e-4)
