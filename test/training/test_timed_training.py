# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A family that writes times is trained on what the engine streams."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest
import torch

from streamvlm_ros.scenes.scene import HELD_OUT_SEED
from training.batches import collate
from training.build import build
from training.network import load_stock, run_model
from training.stream_check import Checker, STANDARD

SPEC = dataclasses.replace(STANDARD, frames=6, questions=4)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    made = tmp_path_factory.mktemp('small')
    build(made, 'small', 0, 'qwen3_vl')
    # Transformers' own 0.02 makes every small random model say the same thing.
    model = load_stock(made)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=1.2 * parameter[0].numel() ** -0.5)
    model.save_pretrained(made)
    return made


def test_the_packed_clip_is_the_stream(folder: pathlib.Path) -> None:
    """Choices have the probabilities that they have on the packed clip; the ViT has gradients."""
    checker = Checker(folder, SPEC)
    checker.check(HELD_OUT_SEED + 4)
    tally = checker.tally
    assert tally.choice_as_offline == tally.choice >= 4
    assert tally.largest_probability_difference < 1e-4
    clip = checker.packer.pack(dataclasses.replace(SPEC, seed=8))
    model = load_stock(folder)
    outputs = run_model(model, collate([clip], SPEC.grid), checker._processor.pixels)
    outputs.hidden.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.model.visual.parameters())
