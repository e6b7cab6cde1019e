# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Qwen3-VL's own modules are held to transformers' own class: names, numbers, features, files."""

from __future__ import annotations

import copy
import json
import pathlib
from typing import Any

import pytest
from safetensors.torch import load_file
from support.models.random_qwen3 import random_model, shape_config, SHAPES
import torch
from transformers import Qwen3VLForConditionalGeneration

from streamvlm_ros.engine.models.folder.tensors import write_tensors
from streamvlm_ros.engine.models.qwen3_vl.model import QWEN3_VL, StreamQwen3Model
from streamvlm_ros.engine.models.registry import load_model
from streamvlm_ros.engine.positions import Grid

CASES = [(shape, tied) for shape in SHAPES for tied in (False, True)]


def equal(one: dict, other: dict) -> bool:
    """Tell whether two states have the same names, in the same order, and numbers."""
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def stock_of(model: StreamQwen3Model) -> Qwen3VLForConditionalGeneration:
    """Return transformers' own class with a model's weights."""
    stock = Qwen3VLForConditionalGeneration(copy.deepcopy(model.config)).eval()
    stock.load_state_dict(model.state_dict(), strict=True)
    return stock


@pytest.mark.parametrize('shape, tied', CASES)
def test_names_and_random_numbers_are_stocks(shape: str, tied: bool) -> None:
    """So a seed means the same model as there, and a state can be loaded from either to either."""
    both = []
    for kind in (StreamQwen3Model, Qwen3VLForConditionalGeneration):
        torch.manual_seed(5)
        both.append(kind(shape_config(shape, tied)))
    ours, stock = both
    assert equal(ours.state_dict(), stock.state_dict())
    tied_head = ours.lm_head.weight is ours.get_input_embeddings().weight
    assert tied_head == tied


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('grid', [Grid(1, 1, 1), Grid(3, 2, 3), Grid(2, 7, 1)])
def test_what_is_seen_is_stocks(shape: str, grid: Grid) -> None:
    """Embeddings and DeepStack's features, with grids smaller and larger than the table."""
    ours = random_model(shape)
    patches = torch.randn(
        4 * grid.t * grid.h * grid.w, 1536, generator=torch.Generator().manual_seed(1)
    )
    with torch.no_grad():
        mine = ours.encode_video(patches, grid)
        wanted = stock_of(ours).model.visual(
            patches, grid_thw=torch.tensor([[grid.t, 2 * grid.h, 2 * grid.w]])
        )
        alone = [
            ours.encode_video(part, Grid(1, grid.h, grid.w)) for part in patches.chunk(grid.t)
        ]
    expected = torch.cat([wanted.pooler_output, *wanted.deepstack_features], dim=1)
    assert expected.shape[1] == ours.parts.video_width
    torch.testing.assert_close(mine, expected, atol=2e-5, rtol=1e-4)
    # A temporal patch comes out as it does alone.
    torch.testing.assert_close(mine, torch.cat(alone), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize('shape, tied', CASES[::3])
def test_what_is_saved_is_read_by_both(shape: str, tied: bool, tmp_path: pathlib.Path) -> None:
    """Ours and stock's, from ours and stock's, also in shards; names are the published ones."""
    torch.manual_seed(6)
    ours = StreamQwen3Model(shape_config(shape, tied)).eval()
    for model in (ours, stock_of(ours)):
        folder = tmp_path / type(model).__name__
        model.save_pretrained(folder)
        again = load_model(folder)
        assert isinstance(again, StreamQwen3Model)
        assert equal(again.state_dict(), model.state_dict())
        read, info = Qwen3VLForConditionalGeneration.from_pretrained(
            folder, output_loading_info=True
        )
        assert equal(read.state_dict(), model.state_dict()) and not any(info.values())
        config = json.loads((folder / 'config.json').read_text())
        assert config['model_type'] == 'qwen3_vl'
        assert config['architectures'] == ['Qwen3VLForConditionalGeneration']
    weights = load_file(folder / 'model.safetensors')
    assert {'model.visual.pos_embed.weight', 'model.visual.merger.norm.bias'} <= set(weights)
    assert ('lm_head.weight' in weights) != tied
    write_tensors(folder, weights, 20_000)
    assert len(list(folder.glob('*.safetensors'))) > 2
    assert equal(load_model(folder).state_dict(), ours.state_dict())


@pytest.mark.parametrize(
    ('section', 'key', 'value', 'sentence'),
    [
        ('text_config', 'attention_bias', True, 'attention_bias is true; no Qwen3-VL has biases'),
        ('text_config', 'hidden_act', 'gelu', 'only silu is run, which every Qwen3-VL has'),
        ('vision_config', 'hidden_act', 'silu', 'only gelu_pytorch_tanh is run'),
        ('vision_config', 'num_position_embeddings', 24, 'is 24; it must be a square'),
        ('vision_config', 'num_heads', 3, 'the width of a head must be a multiple of 4'),
        ('vision_config', 'out_hidden_size', 32, 'it must be the hidden_size of the text, 64'),
        ('vision_config', 'deepstack_visual_indexes', [0, 4], 'from 0 to 3, and at most 3 of'),
        ('vision_config', 'deepstack_visual_indexes', [2, 0], 'numbers of blocks, rising'),
        ('vision_config', 'deepstack_visual_indexes', [0, 1, 2, 3], 'and at most 3 of them'),
        ('vision_config', 'depth', 5, 'they have 4 blocks and not 5'),
        ('text_config', 'num_hidden_layers', 2, 'they have 3 layers and not 2'),
    ],
)
def test_a_configuration_that_is_not_run(
    section: str, key: str, value: Any, sentence: str, tmp_path: pathlib.Path
) -> None:
    """Each is told by one sentence."""
    random_model('grouped').save_pretrained(tmp_path)
    file = tmp_path / 'config.json'
    content = json.loads(file.read_text())
    content[section][key] = value
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=sentence):
        load_model(tmp_path)


def test_axes_that_do_not_take_turns_are_refused(tmp_path: pathlib.Path) -> None:
    """No published model has that, and the rotation would be another."""
    random_model('grouped').save_pretrained(tmp_path)
    file = tmp_path / 'config.json'
    content = json.loads(file.read_text())
    content['text_config']['rope_parameters']['mrope_interleaved'] = False
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match='mrope_interleaved is false; the axes of every'):
        load_model(tmp_path)


PUBLISHED_TEXT = {  # Qwen3-VL-4B-Instruct's config.json, as transformers 4.57 wrote it
    'attention_bias': False,
    'attention_dropout': 0.0,
    'bos_token_id': 151643,
    'dtype': 'bfloat16',
    'eos_token_id': 151645,
    'head_dim': 128,
    'hidden_act': 'silu',
    'hidden_size': 2560,
    'initializer_range': 0.02,
    'intermediate_size': 9728,
    'max_position_embeddings': 262144,
    'model_type': 'qwen3_vl_text',
    'num_attention_heads': 32,
    'num_hidden_layers': 36,
    'num_key_value_heads': 8,
    'rms_norm_eps': 1e-06,
    'rope_scaling': {
        'mrope_interleaved': True,
        'mrope_section': [24, 20, 20],
        'rope_type': 'default',
    },
    'rope_theta': 5000000,
    'tie_word_embeddings': True,
    'use_cache': True,
    'vocab_size': 151936,
}
PUBLISHED_VISION = {
    'deepstack_visual_indexes': [5, 11, 17],
    'depth': 24,
    'hidden_act': 'gelu_pytorch_tanh',
    'hidden_size': 1024,
    'in_channels': 3,
    'initializer_range': 0.02,
    'intermediate_size': 4096,
    'model_type': 'qwen3_vl',
    'num_heads': 16,
    'num_position_embeddings': 2304,
    'out_hidden_size': 2560,
    'patch_size': 16,
    'spatial_merge_size': 2,
    'temporal_patch_size': 2,
}


def test_the_published_configuration(tmp_path: pathlib.Path) -> None:
    """Built without weights: frequencies, their axes, and what a token of the cache takes."""
    values = {
        'architectures': ['Qwen3VLForConditionalGeneration'],
        'model_type': 'qwen3_vl',
        'text_config': PUBLISHED_TEXT,
        'vision_config': PUBLISHED_VISION,
        'tie_word_embeddings': True,
        'image_token_id': 151655,
        'video_token_id': 151656,
        'vision_start_token_id': 151652,
        'vision_end_token_id': 151653,
        'transformers_version': '4.57.0.dev0',
    }
    (tmp_path / 'config.json').write_text(json.dumps(values))
    with torch.device('meta'):
        model = QWEN3_VL.build(tmp_path).to(torch.bfloat16)
    assert model.trained_positions == 262144
    assert model.layer_bytes * len(model.parts.layers) == 147_456
    assert model.parts.side_outputs == 3 and model.parts.video_width == 4 * 2560
    assert sum(each.numel() for each in model.parameters()) == 4_437_815_808
    rotary = model.model.language_model.rotary_emb
    rotary.reset(torch.device('cpu'))
    assert rotary.inv_freq[1].item() == pytest.approx(5e6 ** (-1 / 64))
    axes = model.rotation._axis.tolist()
    assert axes == 20 * [0, 1, 2] + 4 * [0]
