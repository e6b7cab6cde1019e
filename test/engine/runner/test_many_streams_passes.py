# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Several streams on a GPU's way through the decoder: the same answers as each one alone."""

from __future__ import annotations

from typing import Any

import pytest
from support.kernels import interpreted  # noqa: F401  before the engine
from support.kernels.switch import kernels, QUESTIONS
from support.models.random_models import PIXELS, processor, random_clip, random_model
import torch

from streamvlm_ros.engine import open_streams, StreamSettings, StreamWorker
from streamvlm_ros.engine.models.preprocessing import to_patches
from streamvlm_ros.engine.positions import Grid
from streamvlm_ros.engine.serving import warmup
from streamvlm_ros.engine.stream.encoder_cache import encode_batch
from streamvlm_ros.engine.stream.frames import Frame

pytestmark = pytest.mark.slow

__all__ = ['kernels']
SECOND = 10**9
PATIENCE = 120.0


def answers(workers: dict[int, StreamWorker]) -> dict[int, list[str]]:
    """Return what each of some streams, by their numbers, answers to all that is asked at once."""
    futures = {}
    for number, worker in workers.items():
        for i, frame in enumerate(random_clip(10 + number, 3, 56, 56)):
            worker.submit_frame(frame, (i + 1) * SECOND)
        futures[number] = [
            worker.ask(question, max_new_tokens=4 + 2 * number, after_ns=3 * SECOND)
            for question in QUESTIONS
        ]
    first = next(iter(workers.values()))
    first.start()
    texts = {
        number: [future.result(PATIENCE).text for future in each]
        for number, each in futures.items()
    }
    assert first.stop()
    return texts


def test_the_same_with_kernels(kernels: Any) -> None:
    """Batches of two streams, to which answers come and from which they go."""
    settings = [StreamSettings(sample_rate=0.0, capacity=256)] * 2
    model = random_model('grouped')
    alone = {}
    for number in range(2):
        engine = open_streams(model, processor(), settings[:1])[0]
        alone |= answers({number: StreamWorker(engine)})
    calls = kernels(model)
    engines = open_streams(model, processor(), settings)
    first = StreamWorker(engines[0])
    assert answers({0: first, 1: StreamWorker(engines[1], beside=first)}) == alone
    assert calls.done and all(calls.done)


def test_chunks_of_several_streams_are_warm(kernels: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every number of them has its ViT pass before a frame comes; it gives what each has alone."""
    model = random_model('grouped')
    engines = open_streams(model, processor(), [StreamSettings(chunk_frames=2, capacity=64)] * 3)
    clips = [random_clip(10 + number, 2, 56, 56) for number in range(3)]
    expected = [model.encode_video(*to_patches(clip, PIXELS, model.device)) for clip in clips]
    works = kernels(model).passes.graphs
    monkeypatch.setattr(warmup, 'TIMES', 2)
    warmup.encode_joined(engines)
    assert list(works._works) == [('vision', Grid(number, 2, 2)) for number in (2, 3)]
    assert works.captured == 2
    chunks = [
        engine.stream.due_chunk([Frame(image, 0) for image in clip])
        for engine, clip in zip(engines, clips)
    ]
    assert encode_batch(chunks) == chunks
    for chunk, other in zip(chunks, expected):
        assert torch.allclose(chunk.embeddings, other, atol=1e-4)
    assert works.captured == len(works._works) == 2
