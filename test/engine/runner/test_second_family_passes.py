# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A second model family goes through the passes of a GPU, on interpreted kernels."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from support.kernels.switch import kernels
from support.models.random_models import random_clip
from support.second_family import family
import torch

from streamvlm_ros.engine import StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.models.processor import load_processor
from streamvlm_ros.engine.models.registry import FAMILIES
from streamvlm_ros.engine.ops.operations import TorchOperations
from streamvlm_ros.engine.runner.model_runner import ModelRunner

__all__ = ['kernels']  # a fixture


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory):
    """Return a folder with a model of the family."""
    made = tmp_path_factory.mktemp('lantern')
    family.write(made)
    return made


@pytest.fixture(scope='module')
def model(folder: pathlib.Path):
    """Return the model in it; its runner's passes are put back when it is used no more."""
    return family.load(folder)


def test_the_same_with_kernels(
    model: Any, folder: pathlib.Path, kernels: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Norms of heads, side outputs and several segments are in the recorded passes too."""
    monkeypatch.setitem(FAMILIES, family.MODEL_TYPE, family.LANTERN)
    processor = load_processor(folder)

    def said() -> tuple[str, list[torch.Tensor]]:
        settings = StreamSettings(sample_rate=0.0, chunk_frames=4, capacity=256)
        engine = VideoStreamingInference(model, processor, settings=settings)
        for index, image in enumerate(random_clip(4, 5, 16, 32)):
            engine.append_frame(image, 0.5 * index)
        answer = engine.ask('A box?', 3)[0]
        keys = [engine.stream.cache.content(layer)[0].clone() for layer in range(3)]
        return answer, keys

    expected = said()
    calls = kernels(model)
    answer, keys = said()
    assert calls.done and all(calls.done)
    assert answer == expected[0]
    for mine, other in zip(keys, expected[1], strict=True):
        assert torch.allclose(mine, other, atol=1e-4)


def test_a_family_that_cannot_be_recorded_is_run_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its heads fit the kernels, and it is on a GPU by all that can be told here."""
    monkeypatch.setattr(
        'streamvlm_ros.engine.models.base.operations_for', lambda tensor: TorchOperations()
    )
    model = family.random_weights()
    assert model.fits_kernels
    other = family.random_weights()
    other.recordable = False
    assert not other.fits_kernels
    assert ModelRunner.of(other).passes is None
