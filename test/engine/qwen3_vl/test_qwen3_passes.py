# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Qwen3-VL goes through the passes of a GPU, on interpreted kernels."""

from __future__ import annotations

import numpy as np
import pytest
from support.kernels.switch import kernels
from support.models.random_models import BRIEF_TEMPLATE, random_clip
from support.models.random_qwen3 import processor, random_model
from support.whole import sampled
import torch

from streamvlm_ros.engine import StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.ops.operations import TorchOperations

pytestmark = pytest.mark.slow

__all__ = ['kernels']  # a fixture


def play(shape: str) -> tuple[list, list[torch.Tensor]]:
    """Return what an engine says, and its keys: a chunk, a question on more frames, choices."""
    settings = StreamSettings(sample_rate=0.0, chunk_frames=4, capacity=128)
    engine = VideoStreamingInference(
        random_model(shape), processor(BRIEF_TEMPLATE), settings=settings
    )
    for index, image in enumerate(random_clip(5, 5, 32, 64)):
        engine.append_frame(image, 0.5 * index)
    said = [
        engine.ask('?', 3)[0],
        np.round(engine.ask_choice('?', ['a', 'b']).probabilities, 4).tolist(),
    ]
    cache = engine.stream.cache
    return said, [cache.content(layer)[0].clone() for layer in range(len(cache.keys))]


@pytest.mark.parametrize('shape', sampled(['grouped', 'one_kv_head'], 1))
def test_the_same_with_kernels(shape, kernels):
    """Norms of heads, DeepStack's features and many segments are in the recorded passes."""
    expected = play(shape)
    calls = kernels(random_model(shape))
    said, keys = play(shape)
    assert calls.done and all(calls.done)
    assert calls.passes.graphs.captured > 0
    assert said == expected[0]
    for mine, other in zip(keys, expected[1], strict=True):
        assert torch.allclose(mine, other, atol=1e-4)


def test_which_models_fit_the_kernels(monkeypatch):
    """Heads of a power of two; the 24 channels of one shape are run directly."""
    monkeypatch.setattr(
        'streamvlm_ros.engine.models.base.operations_for', lambda tensor: TorchOperations()
    )
    for shape, fits in (('grouped', True), ('one_kv_head', True), ('no_side_outputs', False)):
        model = random_model(shape)
        model.__dict__.pop('fits_kernels', None)
        assert model.fits_kernels == fits
        del model.__dict__['fits_kernels']
