# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Loading: the published layout and names, and a sentence for what is no such model."""

from __future__ import annotations

import json
import pathlib
from types import SimpleNamespace

import pytest
from safetensors.torch import load_file, save_file
from support.models.random_models import CHAT_TEMPLATE, processor, random_clip, random_model
import torch
from transformers.image_utils import SizeDict

from streamvlm_ros.engine import load_processor, StreamQwenModel, VideoStreamingInference
from streamvlm_ros.engine.models.processor import as_stream_processor
from streamvlm_ros.engine.models.qwen2_5_vl.model import QWEN2_5_VL


@pytest.fixture(scope='module')
def published(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a folder as Qwen publishes it: two shards, an index, names of transformers 4."""
    folder = tmp_path_factory.mktemp('published')
    model = random_model('grouped')
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tensors = {
        name.replace('model.visual.', 'visual.').replace(
            'model.language_model.', 'model.'
        ): tensor.contiguous()
        for name, tensor in model.state_dict().items()
    }
    assert 'visual.blocks.0.attn.qkv.weight' in tensors
    assert 'model.layers.0.self_attn.q_proj.weight' in tensors and 'lm_head.weight' in tensors
    names = sorted(tensors)
    index = {}
    for shard, part in enumerate((names[::2], names[1::2])):
        file = f'model-{shard + 1:05d}-of-00002.safetensors'
        save_file({name: tensors[name] for name in part}, folder / file, {'format': 'pt'})
        index.update(dict.fromkeys(part, file))
    (folder / 'model.safetensors.index.json').write_text(
        json.dumps(
            {
                'metadata': {'total_size': sum(t.nbytes for t in tensors.values())},
                'weight_map': index,
            }
        )
    )
    processor().tokenizer.save_pretrained(folder)
    (folder / 'chat_template.json').write_text(json.dumps({'chat_template': CHAT_TEMPLATE}))
    (folder / 'preprocessor_config.json').write_text(
        json.dumps(
            {
                'min_pixels': 3136,
                'max_pixels': 12845056,
                'patch_size': 14,
                'temporal_patch_size': 2,
                'merge_size': 2,
                'image_mean': [0.5, 0.5, 0.5],
                'image_std': [0.25, 0.25, 0.25],
                'image_processor_type': 'Qwen2VLImageProcessor',
            }
        )
    )
    return folder


def test_the_published_layout_loads(published: pathlib.Path) -> None:
    """Every tensor arrives under its stock name, and the model answers as the saved one."""
    model = StreamQwenModel.from_pretrained(published, dtype=torch.float32)
    expected = random_model('grouped').state_dict()
    loaded = model.state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)
    frames = random_clip(1, 4, 84, 84)
    answers = []
    for each in (model, random_model('grouped')):
        engine = VideoStreamingInference(each, processor())
        engine.append_video_chunk(frames, fps=2)
        answers.append(engine.ask('What?', 6)[0])
    assert answers[0] == answers[1]


def test_a_device_map_is_taken(published: pathlib.Path) -> None:
    """accelerate spreads the model; on one device it still answers the same."""
    model = StreamQwenModel.from_pretrained(published, dtype=torch.float32, device_map='cpu')
    engine = VideoStreamingInference(model, processor())
    engine.append_video_chunk(random_clip(1, 4, 84, 84), fps=2)
    plain = VideoStreamingInference(random_model('grouped'), processor())
    plain.append_video_chunk(random_clip(1, 4, 84, 84), fps=2)
    assert engine.ask('What?', 6)[0] == plain.ask('What?', 6)[0]


def test_a_saved_model_loads_again(published: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """What save_pretrained writes is a checkpoint of the same names."""
    StreamQwenModel.from_pretrained(published, dtype=torch.float32).save_pretrained(tmp_path)
    model = StreamQwenModel.from_pretrained(tmp_path, dtype=torch.float32)
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), random_model('grouped').state_dict().values())
    )


def test_the_processor_reads_the_folder(published: pathlib.Path) -> None:
    """Tokenizer, template and pixels come from the model's own files."""
    loaded = load_processor(published)
    assert loaded.chat_template == CHAT_TEMPLATE
    assert loaded.pixels.max_pixels == 12845056 and loaded.pixels.mean == (0.5, 0.5, 0.5)
    assert loaded.tokenizer.encode('<|im_end|>a') == processor().tokenizer.encode('<|im_end|>a')


def test_a_stock_processor_is_accepted() -> None:
    """An AutoProcessor's parts are read by the names that transformers gives them."""
    own = processor()
    size = SizeDict(shortest_edge=own.pixels.min_pixels, longest_edge=own.pixels.max_pixels)
    video = SimpleNamespace(
        patch_size=14,
        temporal_patch_size=2,
        merge_size=2,
        size=size,
        image_mean=list(own.pixels.mean),
        image_std=list(own.pixels.std),
    )
    stock = SimpleNamespace(tokenizer=own.tokenizer, chat_template=None, video_processor=video)
    own.tokenizer.chat_template = CHAT_TEMPLATE
    try:
        assert as_stream_processor(stock, QWEN2_5_VL) == own
    finally:
        own.tokenizer.chat_template = None


def test_what_is_no_model_is_refused(published: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Missing folder, folder without a model, another architecture, missing weights."""
    with pytest.raises(FileNotFoundError, match='does not exist'):
        StreamQwenModel.from_pretrained(tmp_path / 'nowhere')
    with pytest.raises(FileNotFoundError, match='does not exist'):
        StreamQwenModel.from_pretrained('no-such-model')
    with pytest.raises(FileNotFoundError, match=r'no config\.json'):
        load_processor(tmp_path)
    (tmp_path / 'config.json').write_text('{"model_type": "llama"}')
    with pytest.raises(ValueError, match='llama'):
        StreamQwenModel.from_pretrained(tmp_path)
    (tmp_path / 'config.json').write_text('{')
    with pytest.raises(ValueError, match=r'config\.json is not JSON'):
        StreamQwenModel.from_pretrained(tmp_path)
    random_model('grouped').config.save_pretrained(tmp_path)
    some = load_file(next(published.glob('model-00001*')))
    save_file(some, tmp_path / 'model.safetensors', {'format': 'pt'})
    with pytest.raises(ValueError, match='of another architecture'):
        StreamQwenModel.from_pretrained(tmp_path)
