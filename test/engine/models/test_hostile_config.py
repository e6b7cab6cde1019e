# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A configuration or weights that are damaged, or do not fit each other: the error says so."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from support.models.hostile_folder import change, load
import torch

from streamvlm_ros.engine import (
    StreamQwenModel,
)


@pytest.mark.parametrize('method', ['awq', 'gptq', 'bitsandbytes', 'fp8'])
def test_quantized_weights(folder: pathlib.Path, method: str) -> None:
    """Nobody is sent to install what then runs: the sentence says what there is here."""
    change(
        folder,
        'config.json',
        lambda content: content.update(quantization_config={'quant_method': method}),
    )
    with pytest.raises(ValueError, match=rf'config\.json says .*{method}.* quantization: int8'):
        load(folder)


@pytest.mark.parametrize(
    ('section', 'key', 'value'),
    [
        ('text_config', 'num_hidden_layers', 10**9),
        ('text_config', 'num_hidden_layers', 0),
        ('text_config', 'hidden_size', 2**40),
        ('text_config', 'vocab_size', -1),
        ('text_config', 'num_attention_heads', 'four'),
        ('text_config', 'num_key_value_heads', 1.5),
        ('vision_config', 'depth', True),
        ('vision_config', 'patch_size', 0),
        ('vision_config', 'tokens_per_second', float('nan')),
        ('vision_config', 'tokens_per_second', 1e300),
        ('vision_config', 'window_size', 27),
        ('vision_config', 'hidden_act', 'gelu'),
        ('text_config', 'hidden_act', 'relu'),
        ('text_config', 'rope_parameters', {'rope_type': 'default', 'rope_theta': 1e4}),
        (
            'text_config',
            'rope_parameters',
            {'rope_type': 'default', 'rope_theta': 1e4, 'mrope_section': [1, 1, 1]},
        ),
        ('text_config', 'layer_types', 7),
        (None, 'video_token_id', 10**6),
        (None, 'text_config', 'none'),
        (None, 'vision_config', [1]),
        (None, 'transformers_weights', 'pytorch_model.bin'),
    ],
)
def test_numbers_of_a_configuration(
    folder: pathlib.Path, section: str | None, key: str, value: Any
) -> None:
    """An impossible one is refused before anything of that size is built."""
    change(
        folder,
        'config.json',
        lambda content: (content if section is None else content[section]).update({key: value}),
    )
    with pytest.raises(ValueError, match=r'model/config\.json.*') as caught:
        load(folder)
    assert key in str(caught.value) or 'mrope_section' in str(caught.value)


@pytest.mark.parametrize(
    ('section', 'key', 'value'),
    [
        ('text_config', 'num_hidden_layers', 1000),
        ('text_config', 'vocab_size', 1 << 22),
        ('text_config', 'intermediate_size', 1 << 20),
        ('vision_config', 'depth', 1000),
        ('vision_config', 'intermediate_size', 1 << 20),
    ],
)
def test_a_configuration_larger_than_its_weights(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, section: str, key: str, value: int
) -> None:
    """No memory is taken for weights that are not in the files."""
    change(folder, 'config.json', lambda content: content[section].update({key: value}))
    change(folder, 'config.json', lambda content: content['text_config'].pop('layer_types'))
    monkeypatch.setattr(StreamQwenModel, '__init__', lambda *_: pytest.fail('it was built'))
    with pytest.raises(ValueError, match='of another architecture than its config'):
        StreamQwenModel.from_pretrained(folder)


@pytest.mark.parametrize(
    'damage',
    [
        lambda data: (
            b'version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3990000000\n'
        ),
        lambda data: data[:-1000],
        lambda data: b'',
        lambda data: b'\xff' * 100,
        lambda data: (10**8).to_bytes(8, 'little') + data[8:],
    ],
)
def test_damaged_weights(folder: pathlib.Path, damage: Any) -> None:
    """The sentence names the file; a pointer of Git LFS is known."""
    file = folder / 'model.safetensors'
    data = damage(file.read_bytes())
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r'model\.safetensors holds no weights: ') as caught:
        load(folder)
    assert ('git lfs pull' in str(caught.value)) == data.startswith(b'version')


def test_weights_of_another_shape(folder: pathlib.Path) -> None:
    """The tensor is named."""
    weights = load_file(folder / 'model.safetensors')
    weights['model.norm.weight'] = torch.ones(128)
    save_file(weights, folder / 'model.safetensors', {'format': 'pt'})
    with pytest.raises(ValueError, match=r', model\.language_model\.norm\.weight among them'):
        load(folder)


def test_weights_that_are_there_twice(folder: pathlib.Path) -> None:
    """Under the names of transformers 4 and of 5: nothing says which are right."""
    weights = load_file(folder / 'model.safetensors')
    weights['model.language_model.norm.weight'] = weights['model.norm.weight'] + 1
    save_file(weights, folder / 'model.safetensors', {'format': 'pt'})
    with pytest.raises(ValueError, match=r'model\.norm\.weight.* both are the weights model\.la'):
        load(folder)


def test_weights_that_are_no_numbers_of_a_network(folder: pathlib.Path) -> None:
    """Integers are not made floating-point numbers."""
    weights = load_file(folder / 'model.safetensors')
    weights['model.norm.weight'] = weights['model.norm.weight'].to(torch.int8)
    save_file(weights, folder / 'model.safetensors', {'format': 'pt'})
    with pytest.raises(ValueError, match=r'model\.norm\.weight holds torch\.int8 numbers'):
        load(folder)


@pytest.mark.parametrize(
    'name',
    [
        'config.json',
        'tokenizer.json',
        'tokenizer_config.json',
        'preprocessor_config.json',
        'generation_config.json',
        'chat_template.json',
    ],
)
@pytest.mark.parametrize(
    ('content', 'sentence'),
    [
        (b'[' * 200_000, 'is nested too deeply'),
        (b'{', 'is not JSON'),
        (b'[1]', 'not a JSON object'),
        (b'{"a": "\xff"}', 'is not UTF-8'),
    ],
)
def test_damaged_files(folder: pathlib.Path, name: str, content: bytes, sentence: str) -> None:
    """Whichever it is, it is named."""
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf'model/{name} .*{sentence}'):
        load(folder)


@pytest.mark.parametrize(
    ('key', 'sentence'),
    [
        ('vision_config', 'has no vision_config'),
        ('model_type', 'names no model_type'),
    ],
)
def test_a_configuration_without(folder: pathlib.Path, key: str, sentence: str) -> None:
    """What is missing is named, before anything is compared with the weights."""
    change(folder, 'config.json', lambda content: content.pop(key))
    with pytest.raises(ValueError, match=rf'config\.json {sentence}'):
        load(folder)
