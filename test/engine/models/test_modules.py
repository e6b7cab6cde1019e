# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The engine's own modules are held to transformers' own class: names, numbers, logits, files."""

from __future__ import annotations

import copy
import gc
import json
import logging
import pathlib
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from support.models.random_models import config, CONTROL_ID, random_model, SHAPES
import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from streamvlm_ros.engine import ErrorCode, StreamError, StreamQwenModel
from streamvlm_ros.engine.models.folder.tensors import write_tensors
from streamvlm_ros.engine.models.qwen import checkpoint
from streamvlm_ros.engine.models.qwen.checkpoint import EMBEDDING, HEAD
from streamvlm_ros.engine.models.qwen2_5_vl.vision import encode_video
from streamvlm_ros.engine.models.qwen2_5_vl.weights import VisionWeights
from streamvlm_ros.engine.positions import Grid

VISION = {
    'depth': 2,
    'hidden_size': 64,
    'num_heads': 4,
    'intermediate_size': 91,  # as the published 3420, no multiple of 16
    'fullatt_block_indexes': [1],
    'window_size': 112,
    'tokens_per_second': 2,
}


def published(tied: bool, heads: int, kv_heads: int, hidden: int) -> Qwen2_5_VLConfig:
    """Return the configuration of a small model, otherwise as the published ones."""
    half = hidden // heads // 2
    return Qwen2_5_VLConfig(
        text_config={
            'hidden_size': hidden,
            'num_hidden_layers': 2,
            'num_attention_heads': heads,
            'num_key_value_heads': kv_heads,
            'intermediate_size': 2 * hidden + 8,
            'vocab_size': 320,
            'rms_norm_eps': 1e-6,
            'bos_token_id': 300,
            'eos_token_id': 301,
            'pad_token_id': 302,
            'rope_parameters': {
                'rope_type': 'default',
                'rope_theta': 1e6,
                'mrope_section': [half - 2 * (half // 3), half // 3, half // 3],
            },
        },
        vision_config={**VISION, 'out_hidden_size': hidden},
        video_token_id=CONTROL_ID['<|video_pad|>'],
        tie_word_embeddings=tied,
    )


CONFIGS = {
    'as 3B': lambda: published(tied=True, heads=8, kv_heads=1, hidden=128),
    'as 7B': lambda: published(tied=False, heads=7, kv_heads=1, hidden=112),
    **{name: lambda name=name: config(**SHAPES[name]) for name in SHAPES},
}


@pytest.fixture(scope='module', params=CONFIGS)
def pair(request: pytest.FixtureRequest) -> tuple:
    """Return our model and stock's own class of one configuration, from the same seed."""
    both = []
    for kind in (StreamQwenModel, Qwen2_5_VLForConditionalGeneration):
        torch.manual_seed(5)
        both.append(kind(CONFIGS[request.param]()).eval())
    return tuple(both)


def equal(one: dict, other: dict) -> bool:
    """Tell whether two states have the same names, in the same order, and numbers."""
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def test_names_and_random_numbers_are_stocks(pair: tuple) -> None:
    """So a seed means the same model as there, and a state can be loaded from either to either."""
    ours, stock = pair
    assert equal(ours.state_dict(), stock.state_dict())
    assert [name for name, _ in ours.named_parameters()] == [
        name for name, _ in stock.named_parameters()
    ]
    other = copy.deepcopy(stock)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.01)
    ours.load_state_dict(other.state_dict())
    assert equal(ours.state_dict(), other.state_dict())
    stock.load_state_dict(ours.state_dict())


def test_logits_are_stocks(pair: tuple) -> None:
    """With a video; positions are set, as stock's own rule differs between its releases."""
    ours, stock = pair
    pad = ours.config.video_token_id
    ids = torch.tensor([[7, *[pad] * 8, 9, 11]])
    patches = torch.randn(32, 1176, generator=torch.Generator().manual_seed(1))
    grid = torch.tensor([[2, 4, 4]])
    rate = ours.config.vision_config.tokens_per_second
    square = torch.tensor([[0, y, x] for y in range(2) for x in range(2)])
    later = square + torch.tensor([rate, 0, 0])
    behind = 1 + max(rate, 1) + 1 + torch.arange(2)[:, None].expand(2, 3)
    positions = torch.cat([torch.zeros(1, 3, dtype=torch.long), square + 1, later + 1, behind])
    given: dict[str, Any] = {'pixel_values_videos': patches, 'video_grid_thw': grid}
    output = ours(ids, **given)
    with torch.no_grad():
        expected = stock(
            input_ids=ids, position_ids=positions.T[:, None], use_cache=False, **given
        ).logits
    torch.testing.assert_close(output.logits, expected, atol=1e-5, rtol=1e-4)
    assert output[0] is output['logits'] is output.logits
    assert output[1] is output.past_key_values
    assert ours(ids, use_cache=False, **given)[1].shape == (1, 1)  # what is None has no number


def test_what_is_saved_is_read_by_both(pair: tuple, tmp_path: pathlib.Path) -> None:
    """Ours and stock's, from ours and stock's; the configuration says what the files are."""
    ours, stock = pair
    for model in (ours, stock):
        folder = tmp_path / type(model).__name__
        model.save_pretrained(folder)
        again = StreamQwenModel.from_pretrained(folder)
        assert equal(again.state_dict(), model.state_dict()) and again.dtype == torch.float32
        tied = again.lm_head.weight is again.get_input_embeddings().weight
        assert tied == model.config.tie_word_embeddings
        read, info = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            folder, output_loading_info=True
        )
        assert equal(read.state_dict(), model.state_dict())
        assert not any(info.values())
        assert json.loads((folder / 'config.json').read_text())['architectures'] == [
            'Qwen2_5_VLForConditionalGeneration'
        ]
        assert again.generation == ours.generation


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return the folder of a tied model."""
    torch.manual_seed(6)
    StreamQwenModel(CONFIGS['as 3B']()).save_pretrained(tmp_path / 'model')
    return tmp_path / 'model'


def change_weights(folder: pathlib.Path, **changes: torch.Tensor | None) -> dict:
    """Change tensors of a folder; None takes one away. Return what they were."""
    file = folder / 'model.safetensors'
    weights = load_file(file)
    changed = {**weights, **{name.replace('__', '.'): each for name, each in changes.items()}}
    save_file({k: v for k, v in changed.items() if v is not None}, file, {'format': 'pt'})
    return weights


def test_a_tied_head_may_be_stored(folder: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    """Alone, with the embedding, or different from it: stock reads all of these."""
    table = change_weights(folder)['model.embed_tokens.weight']
    change_weights(folder, lm_head__weight=table.clone())
    model = StreamQwenModel.from_pretrained(folder)
    assert model.lm_head.weight is model.get_input_embeddings().weight
    change_weights(folder, model__embed_tokens__weight=None)
    model = StreamQwenModel.from_pretrained(folder)
    assert model.lm_head.weight is model.get_input_embeddings().weight
    assert torch.equal(model.lm_head.weight, table)
    assert not caplog.records
    change_weights(folder, model__embed_tokens__weight=table, lm_head__weight=table + 1)
    model = StreamQwenModel.from_pretrained(folder)
    assert 'two different ones; both are used' in caplog.text
    state = model.state_dict()
    assert torch.equal(state[EMBEDDING], table) and torch.equal(state[HEAD], table + 1)


def test_tensors_that_are_not_used_are_told(
    folder: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They are left out, and one of them is named."""
    change_weights(folder, model__extra__weight=torch.ones(3))
    with caplog.at_level(logging.WARNING):
        StreamQwenModel.from_pretrained(folder)
    assert '1 tensors that the model does not use, model.extra.weight among them' in caplog.text


@pytest.mark.parametrize(
    ('stored', 'configured', 'wanted', 'found'),
    [
        (torch.bfloat16, 'float16', None, torch.float16),
        (torch.bfloat16, None, 'auto', torch.bfloat16),
        (torch.float64, None, 'float16', torch.float16),
        (torch.float16, 'float16', torch.float32, torch.float32),
    ],
)
def test_number_formats(
    folder: pathlib.Path, stored: Any, configured: str | None, wanted: Any, found: Any
) -> None:
    """What is wanted, else what config.json says, else what the files have."""
    before = {name: each.to(stored) for name, each in change_weights(folder).items()}
    save_file(before, folder / 'model.safetensors', {'format': 'pt'})
    content = json.loads((folder / 'config.json').read_text())
    content['dtype'] = configured
    (folder / 'config.json').write_text(json.dumps(content))
    # Inference tensors could not be trained, or moved, later on.
    with torch.inference_mode():
        model = StreamQwenModel.from_pretrained(folder, dtype=wanted)
    assert {each.dtype for each in model.parameters()} == {found}
    assert not any(each.is_inference() for each in model.parameters())
    weight = model.model.visual.blocks[0].attn.qkv.weight
    assert torch.equal(weight, before['visual.blocks.0.attn.qkv.weight'].to(found))
    assert model.model.language_model.rotary_emb.inv_freq.dtype == torch.float32
    assert model.config.dtype == found


@pytest.mark.parametrize(
    ('key', 'value', 'width'), [('num_attention_heads', 6, 126), ('head_dim', 32, 256)]
)
def test_heads_that_do_not_fill_the_width(key: str, value: int, width: int) -> None:
    """The rotation would not fit them, at the first frame."""
    wrong = CONFIGS['as 3B']()
    setattr(wrong.text_config, key, value)
    with pytest.raises(ValueError, match=f'hidden_size is 128 .* would be {width} wide'):
        StreamQwenModel(wrong)


@pytest.mark.parametrize('wanted', ['int8', 'float33', torch.int8])
def test_a_number_format_that_is_none(folder: pathlib.Path, wanted: Any) -> None:
    with pytest.raises(ValueError, match='it must be float32, bfloat16 or float16'):
        StreamQwenModel.from_pretrained(folder, dtype=wanted)


def is_mapped(file: pathlib.Path) -> bool:
    """Tell whether this process has a file mapped into its memory."""
    gc.collect()
    return str(file) in pathlib.Path('/proc/self/maps').read_text()


def test_no_second_copy_on_the_host(folder: pathlib.Path) -> None:
    """What is not converted is the mapped file, and what is converted holds no file."""
    file = folder / 'model.safetensors'
    converted = StreamQwenModel.from_pretrained(folder, dtype='bfloat16')
    assert converted.dtype == torch.bfloat16 and not is_mapped(file)
    data = file.read_bytes()
    model = StreamQwenModel.from_pretrained(folder)
    assert is_mapped(file)
    with torch.no_grad():
        model.lm_head.weight.add_(1)
    assert file.read_bytes() == data
    expected = {name: each.clone() for name, each in model.state_dict().items()}
    model.save_pretrained(folder)  # to where it was read from, and still is
    assert equal(model.state_dict(), expected)
    del model
    assert not is_mapped(file)
    assert equal(StreamQwenModel.from_pretrained(folder).state_dict(), expected)


def test_shards(folder: pathlib.Path) -> None:
    """Many tensors are written to several files, and old files of weights go."""
    weights = change_weights(folder)
    expected = StreamQwenModel.from_pretrained(folder).state_dict()
    largest = max(each.nbytes for each in weights.values())
    write_tensors(folder, weights, largest)
    shards = sorted(folder.glob('*.safetensors'))
    assert len(shards) > 2
    assert shards[0].name == f'model-00001-of-{len(shards):05d}.safetensors'
    assert all(sum(t.nbytes for t in load_file(each).values()) <= largest for each in shards)
    assert equal(StreamQwenModel.from_pretrained(folder).state_dict(), expected)
    stock = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder)
    assert equal(stock.state_dict(), expected)
    write_tensors(folder, weights)
    assert [each.name for each in folder.glob('model*')] == ['model.safetensors']


def test_joined_weights_are_saved(tmp_path: pathlib.Path) -> None:
    """A model that has run, whose parameters are views of joined matrices; a quantized one not."""
    model = copy.deepcopy(random_model('grouped'))
    expected = {name: each.clone() for name, each in model.state_dict().items()}
    assert model.layers and model.vision
    model.save_pretrained(tmp_path)
    assert equal(StreamQwenModel.from_pretrained(tmp_path).state_dict(), expected)
    model.quantize(8)
    with pytest.raises(ValueError, match='was quantized cannot be saved'):
        model.save_pretrained(tmp_path)


def test_devices_by_modules(folder: pathlib.Path) -> None:
    """Every parameter needs one, and none is left on the host beside GPUs."""
    model = StreamQwenModel.from_pretrained(folder, device_map={'model': 'cpu', 'lm_head': 'cpu'})
    assert model.hf_device_map == {}
    with pytest.raises(ValueError, match=r'no device for model\.language_model\.embed_tokens'):
        StreamQwenModel.from_pretrained(folder, device_map={'model.visual': 'cpu'})
    places = {'model.visual': 'cuda:0', 'model.language_model': 'cpu', 'lm_head': 'disk'}
    with pytest.raises(ValueError, match='does not fit the devices: there is no room for 2 of'):
        StreamQwenModel.from_pretrained(folder, device_map=places)


def test_weights_that_do_not_fit_a_device(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence says what they take, and what would help."""

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError('CUDA out of memory.')

    monkeypatch.setattr(checkpoint, 'read_tensors', full)
    with pytest.raises(
        StreamError, match=r'takes 0\.00 GB and does not fit cpu; spread'
    ) as caught:
        StreamQwenModel.from_pretrained(folder, device_map='cpu')
    assert caught.value.code is ErrorCode.OUT_OF_MEMORY


def test_the_vit_can_be_trained() -> None:
    """Gradients reach each of its parameters, as of stock's."""
    model = copy.deepcopy(random_model('grouped')).train()
    assert model.training
    weights = VisionWeights.of(model.model.visual)
    encode_video(weights, torch.randn(16, 1176), Grid(1, 2, 2)).square().sum().backward()
    for name, parameter in model.model.visual.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name
