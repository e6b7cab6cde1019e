# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Weights in 8 and 4 bits: torchao's numbers, joined, packed and streamed with."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from support.models.random_models import processor, random_clip, random_model, SHAPES
import torch
from torchao.quantization import IntxWeightOnlyConfig, PerAxis, PerGroup, quantize_
from torchao.quantization.quantize_.workflows import IntxChooseQParamsAlgorithm

from streamvlm_ros.engine import ErrorCode, StreamError, StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.models.qwen.weights import PROJECTIONS
from streamvlm_ros.engine.ops.quantization import quantize, QuantizedLinear, weight_bytes
from streamvlm_ros.engine.stream.saving.fingerprint import weights_hash

SETTINGS = StreamSettings(sample_rate=2.0, capacity=600, chunk_frames=2)
QUESTIONS = ('What is there?', 'And before?')


@pytest.mark.parametrize('bits, most', [(8, 0.01), (4, 0.11)])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_the_numbers_are_torchaos(bits: int, most: float, dtype: torch.dtype) -> None:
    """Packed and unpacked again they are what torchao multiplies with."""
    linear = torch.nn.Linear(768, 48, bias=False, dtype=dtype)
    weight = linear.weight.detach().clone()
    ours = quantize(weight, bits)
    quantize_(
        linear,
        IntxWeightOnlyConfig(torch.int8, PerAxis(0))
        if bits == 8
        else IntxWeightOnlyConfig(
            torch.int4,
            PerGroup(128),
            intx_choose_qparams_algorithm=(IntxChooseQParamsAlgorithm.HQQ_SCALE_ONLY),
        ),
    )
    assert torch.equal(ours.dequantized(), linear.weight.dequantize())
    assert ours.shape == weight.shape
    assert ours.numbers.nbytes == 48 * 768 * bits // 8
    error = (ours.dequantized() - weight).float().norm() / weight.float().norm()
    assert 0 < error < most


def widened(model: Any):
    """Return a copy of a quantized model with ordinary layers of the rounded weights."""
    wide = copy.deepcopy(model)
    for layer in wide.model.language_model.layers:
        for part, names in PROJECTIONS.items():
            for name in names:
                old = getattr(getattr(layer, part), name)
                columns, depth = old.weight.shape
                linear = torch.nn.Linear(depth, columns, old.bias is not None)
                linear.weight.data = old.weight.dequantized()
                if old.bias is not None:
                    linear.bias.data = old.bias.detach().clone()
                setattr(getattr(layer, part), name, linear)
    return wide.eval()


def stream(model: Any):
    engine = VideoStreamingInference(model, processor(), settings=SETTINGS)
    for i, frame in enumerate(random_clip(3, 12, 84, 112)):
        engine.append_frame(frame, 0.5 * i)
    return engine


@pytest.mark.parametrize('bits', [8, 4])
@pytest.mark.parametrize('shape', list(SHAPES))
def test_a_stream_is_that_of_the_rounded_weights(shape: str, bits: int) -> None:
    """Answers and scores, also of a model that was moved after it had been used."""
    model = copy.deepcopy(random_model(shape))
    before = weight_bytes(model)
    hashed = weights_hash(model)
    model.quantize(bits)
    assert weight_bytes(model) < before
    assert weights_hash(model) != hashed
    expected = stream(widened(model))
    for quantized in (stream(model), stream(model.to('cpu', torch.float32))):
        for question in QUESTIONS:
            assert quantized.ask(question, 12)[0] == expected.ask(question, 12)[0]
            scores, wanted = (
                each.ask_choice(question, ['yes', 'no', 'maybe']).probabilities
                for each in (quantized, expected)
            )
            assert scores == pytest.approx(wanted, rel=1e-4)


def test_matrices_are_held_once() -> None:
    """What the layers multiply with is what the modules hold."""
    model = copy.deepcopy(random_model('grouped'))
    model.quantize(8)
    [joined, *_] = model.layers
    attention = model.model.language_model.layers[0].self_attn
    assert isinstance(attention.q_proj, QuantizedLinear)
    assert attention.q_proj.numbers.data_ptr() == joined.qkv.numbers.data_ptr()
    rows = attention.q_proj.weight.shape[0]
    assert torch.equal(
        attention.k_proj.numbers,
        joined.qkv.numbers[rows : rows + attention.k_proj.weight.shape[0]],
    )


def test_a_depth_that_does_not_group() -> None:
    """It ends in a sentence."""
    with pytest.raises(StreamError, match='depth 72, and int4 needs a multiple') as caught:
        quantize(torch.randn(4, 72), 4)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
