# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""AWQ folders are run as they are; what else is quantized already ends in a sentence."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from support.models.awq import CONFIG, configure, WEIGHTS, write_awq
from support.models.random_models import processor, random_clip
import torch

from streamvlm_ros.engine import (
    ErrorCode,
    StreamError,
    StreamQwenModel,
    StreamSettings,
    VideoStreamingInference,
)
from streamvlm_ros.engine.models.hub.size import build_empty, fit, quantizations_of
from streamvlm_ros.engine.ops.quantization import count_weights, QuantizedWeight, weight_bytes

SETTINGS = StreamSettings(sample_rate=2.0, capacity=600, chunk_frames=2)
QUESTION = 'What is there?'


def streamed(model: StreamQwenModel) -> VideoStreamingInference:
    """Return an engine that has seen a clip, one frame of which waits for its chunk."""
    engine = VideoStreamingInference(model, processor(), settings=SETTINGS)
    for i, frame in enumerate(random_clip(3, 11, 84, 112)):
        engine.append_frame(frame, 0.5 * i)
    return engine


@pytest.mark.parametrize('shape', ['grouped', 'one_kv_head'])
def test_a_stream_is_that_of_the_published_values(shape: str, tmp_path: pathlib.Path) -> None:
    """Answers and scores; also where a half of a row has no whole groups (96 values of 32)."""
    plain = write_awq(tmp_path, shape)
    model = StreamQwenModel.from_pretrained(tmp_path, dtype=torch.float32)
    assert weight_bytes(model) < weight_bytes(plain)
    layer, same = model.layers[0], plain.layers[0]
    for ours, theirs in ((layer.qkv, same.qkv), (layer.gate_up, same.gate_up)):
        assert isinstance(ours, QuantizedWeight) and ours.scale.dtype == torch.float16
        assert torch.equal(ours.dequantized(torch.float32), theirs)
    ours, theirs = streamed(model), streamed(plain)
    assert ours.ask(QUESTION, 8).text == theirs.ask(QUESTION, 8).text
    found, expected = (
        torch.tensor(each.ask_choice(QUESTION, ['left', 'right']).probabilities)
        for each in (ours, theirs)
    )
    assert torch.allclose(found, expected, atol=1e-5)
    model = model.bfloat16().float()
    model.load_state_dict(plain.state_dict(), strict=False)
    assert torch.equal(model.layers[0].qkv.dequantized(torch.float32), same.qkv)
    assert (streamed(model).ask(QUESTION, 8)).text == ours.ask(QUESTION, 8).text


def test_what_it_takes_is_known_before_it_is_loaded(tmp_path: pathlib.Path) -> None:
    plain = write_awq(tmp_path, 'grouped')
    empty, pixels = build_empty(tmp_path, torch.float32), processor().pixels
    told = fit(empty, SETTINGS, torch.device('cpu'), 'none', pixels)
    model = StreamQwenModel.from_pretrained(tmp_path, dtype=torch.float32)
    assert told.weights == weight_bytes(model)
    assert list(quantizations_of(model)) == ['none']
    assert count_weights(model) == count_weights(plain)
    with pytest.raises(StreamError, match='in 4 bits already; leave quantization') as caught:
        model.quantize(8)
    assert caught.value.code == ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize(
    ('quantization', 'sentence'),
    [
        ({'quant_method': 'gptq', 'bits': 4}, r'already \(gptq\)'),
        ({'load_in_4bit': True}, r'already \(bitsandbytes\)'),
        ({'quant_method': 'compressed-tensors'}, r'already \(compressed-tensors\)'),
        ({'quant_method': 'fp8'}, r'already \(fp8\)'),
        ('yes', r'already \(\)'),
        ({**CONFIG, 'bits': 3}, r'already \(awq\), with bits 3; only 4 is run'),
        ({**CONFIG, 'bits': True}, 'with bits True'),
        ({**CONFIG, 'group_size': -1}, 'with group_size -1; only 128 or 64 or 32 or 16 is run'),
        ({**CONFIG, 'zero_point': False}, 'with zero_point False'),
        ({**CONFIG, 'version': 'gemv'}, "with version 'gemv'; only gemm is run"),
    ],
)
def test_others_are_told_what_to_take_instead(
    quantization: dict[str, Any] | str, sentence: str, tmp_path: pathlib.Path
) -> None:
    write_awq(tmp_path, 'grouped')
    configure(tmp_path, quantization)
    with pytest.raises(ValueError, match=rf'config\.json says .*{sentence}.* quantization: int8'):
        StreamQwenModel.from_pretrained(tmp_path)


def test_matrices_that_are_not_what_awq_says_are_refused(tmp_path: pathlib.Path) -> None:
    write_awq(tmp_path, 'grouped')
    whole = load_file(tmp_path / WEIGHTS)
    name = 'model.layers.1.mlp.up_proj'
    for change, sentence in (
        ({f'{name}.qzeros': None}, r'up_proj\.qzeros is missing'),
        ({f'{name}.scales': torch.ones(1, 128).half()}, r'scales is \[1, 128\], not \[2, 128\]'),
        ({f'{name}.scales': torch.ones(2, 128)}, 'holds torch.float32 numbers'),
    ):
        changed = {key: each for key, each in {**whole, **change}.items() if each is not None}
        save_file(changed, tmp_path / WEIGHTS, {'format': 'pt'})
        with pytest.raises(ValueError, match=sentence):
            StreamQwenModel.from_pretrained(tmp_path)
    save_file(whole, tmp_path / WEIGHTS, {'format': 'pt'})
    configure(tmp_path, {**CONFIG, 'group_size': 32, 'modules_to_not_convert': ['o_proj']})
    with pytest.raises(ValueError, match=r'leaves model\.layers\.0\.self_attn\.o_proj out'):
        StreamQwenModel.from_pretrained(tmp_path)
    configure(tmp_path, CONFIG)
    with pytest.raises(ValueError, match='does not divide into groups of 128'):
        StreamQwenModel.from_pretrained(tmp_path)


def test_gguf_is_told_what_to_take_instead(tmp_path: pathlib.Path) -> None:
    file = tmp_path / 'model-q4.gguf'
    file.write_bytes(b'GGUF')
    for path in (tmp_path, file):
        with pytest.raises(ValueError, match=r'GGUF, which is not run.* quantization: int8'):
            StreamQwenModel.from_pretrained(path)
