# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Models and devices that are not there end in a sentence."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
import torch

from streamvlm_ros.engine import pick_device, resolve_model, StreamError, StreamQwenModel
from streamvlm_ros.engine.serving.loading import pick_dtype
from streamvlm_ros.nodes.loading import limits_of_model, load_engine, load_engines
from streamvlm_ros.nodes.parameters.parameters import check_values


def load(model: str, **values: object) -> list[str]:
    told: list[str] = []
    load_engine(check_values({'model': model, **values}), told.append)
    return told


def test_loads_and_tells(model_folder: pathlib.Path) -> None:
    told = load(str(model_folder), device='cpu', capacity=512)
    assert told[0] == f'Loading {model_folder} as float32 on cpu.'
    assert 'cache of 512 tokens' in told[1]


def test_caches_of_several_streams_are_told(model_folder: pathlib.Path) -> None:
    told: list[str] = []
    values = check_values({'model': str(model_folder), 'device': 'cpu', 'capacity': 512})
    load_engines([values, values], told.append)
    assert ' parameters and 2 caches of 512 tokens (' in told[1]


@pytest.mark.parametrize('kind', ['int8', 'int4'])
def test_loads_in_few_bits(model_folder: pathlib.Path, kind: str) -> None:
    told = load(str(model_folder), device='cpu', capacity=512, quantization=kind)
    assert told[1].startswith(f'The decoder is in {kind} after ')
    whole = load(str(model_folder), device='cpu', capacity=512)
    assert told[2].split(' parameters')[0] == whole[1].split(' parameters')[0]


def test_folder_that_does_not_exist() -> None:
    with pytest.raises(OSError, match='The model folder /no/such does not exist'):
        load('/no/such', device='cpu')


def test_folder_that_is_no_model(tmp_path: pathlib.Path) -> None:
    with pytest.raises(OSError, match='is not a model folder'):
        load(str(tmp_path), device='cpu')


def test_weights_of_another_architecture(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'config.json').write_text(json.dumps({'model_type': 'llama'}))
    with pytest.raises(ValueError, match='holds a llama model; this package runs qwen2_5_vl'):
        load(str(tmp_path), device='cpu')


@pytest.mark.parametrize('device', ['tpu7', '', 'cuda:x'])
def test_device_that_is_none(device: str) -> None:
    with pytest.raises(StreamError, match='The device must be cpu, cuda or cuda:N'):
        pick_device(device)


def test_gpu_that_is_not_there() -> None:
    with pytest.raises(StreamError, match='cuda:99 was asked for, but PyTorch sees'):
        pick_device('cuda:99')


def test_spread_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    with pytest.raises(StreamError, match=r'balanced spreads .* PyTorch sees none; use cpu'):
        load('tiny', device='balanced')


def test_spread_over_all_gpus(model_folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """accelerate is asked to spread it, and nothing moves it afterwards."""
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    asked: list[object] = []
    load_model = StreamQwenModel.from_pretrained

    def from_pretrained(path: str, **given: Any) -> StreamQwenModel:
        asked.append(given['device_map'])
        # The GPUs are not there: accelerate leaves them out, and puts everything on the CPU.
        model = load_model(path, **given)
        monkeypatch.setattr(model, 'to', None)
        return model

    monkeypatch.setattr(StreamQwenModel, 'from_pretrained', from_pretrained)
    told = load(str(model_folder), device='balanced', dtype='float32', capacity=512)
    assert asked == ['balanced']
    assert told[0] == f'Loading {model_folder} as float32 over 2 GPUs.'
    assert 'cache of 512 tokens' in told[1]


def test_automatic_number_format() -> None:
    assert pick_dtype('auto', 'cpu') is torch.float32
    assert pick_dtype('auto', 'balanced') is torch.bfloat16
    assert pick_dtype('auto', 'cuda:1') is torch.bfloat16
    assert pick_dtype('float16', 'cpu') is torch.float16


def test_what_the_embedded_model_cannot_do_is_told_of_it_only(model_folder: pathlib.Path) -> None:
    for name in ('tiny', resolve_model('tiny')):
        assert 'drawn scenes' in limits_of_model(name)
        assert 'Qwen/Qwen2.5-VL-3B-Instruct' in limits_of_model(name)
    for name in (str(model_folder), 'Qwen/Qwen2.5-VL-3B-Instruct'):
        assert not limits_of_model(name)
