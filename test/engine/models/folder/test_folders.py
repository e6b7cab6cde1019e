# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Model folders as every release has written them: each loads, and is the model of stock."""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import json
import pathlib
from typing import Any

import pytest
from safetensors.torch import save_file
from support.models.random_models import random_clip, random_model
from support.whole import sampled
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from streamvlm_ros.engine import StreamQwenModel
from streamvlm_ros.engine.models.preprocessing import to_patches
from streamvlm_ros.engine.models.qwen2_5_vl.model import QWEN2_5_VL

YARN = {'factor': 4.0, 'original_max_position_embeddings': 64}


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a folder is written.

    Attributes:
        config: 'flat': the language model's values beside the others, as published and up to
            transformers 4.51; 'both': besides in text_config, as 4.52 to 4.57 save it; 'nested':
            in text_config only, with rope_parameters, as 5 saves it.
        names: of tensors, 'published' or as modules are called since 4.52.
        tied: the head is the table of embeddings and not in the files.
        dtype: of the tensors, and of the configuration's word for it.
        shards: files of weights.
        yarn: positions are stretched as Qwen's instructions have it.

    """

    config: str
    names: str
    tied: bool
    dtype: str
    shards: int
    yarn: bool

    def __str__(self) -> str:
        """Return its values, as the name of a case."""
        return ' '.join(map(str, dataclasses.astuple(self)))


EVERY = [
    Layout(*values)
    for values in itertools.product(
        ('flat', 'both', 'nested'),
        ('published', 'modules'),
        (True, False),
        ('bfloat16', 'float16', 'float32'),
        (1, 3),
        (False, True),
    )
]
# Ten steps through them meet every value, and most pairs.
LAYOUTS = [EVERY[index * 59 % len(EVERY)] for index in range(len(EVERY))]


def write(folder: pathlib.Path, layout: Layout) -> pathlib.Path:
    """Write a random model's configuration and weights."""
    model = random_model('grouped')
    (folder / 'config.json').write_text(json.dumps(configuration(model.config, layout)))
    tensors = {}
    for name, tensor in model.state_dict().items():
        if layout.names == 'published':
            name = name.replace('model.visual.', 'visual.')
            name = name.replace('model.language_model.', 'model.')
        if name != 'lm_head.weight' or not layout.tied:
            tensors[name] = tensor.to(getattr(torch, layout.dtype)).contiguous()
    if layout.shards == 1:
        save_file(tensors, folder / 'model.safetensors', {'format': 'pt'})
        return folder
    index = {}
    for shard in range(layout.shards):
        file = f'model-{shard + 1:05d}-of-{layout.shards:05d}.safetensors'
        names = sorted(tensors)[shard :: layout.shards]
        save_file({name: tensors[name] for name in names}, folder / file, {'format': 'pt'})
        index |= dict.fromkeys(names, file)
    (folder / 'model.safetensors.index.json').write_text(
        json.dumps({'metadata': {'total_size': 0}, 'weight_map': index})
    )
    return folder


def configuration(config: Any, layout: Layout) -> dict[str, Any]:
    """Return what stands in config.json."""
    values = copy.deepcopy(config.to_dict())
    text, vision = values.pop('text_config'), values['vision_config']
    for part in (values, text, vision):
        for key in ('dtype', 'transformers_version', 'tie_word_embeddings'):
            part.pop(key, None)
    rope = text.pop('rope_parameters')
    section, theta = rope['mrope_section'], rope['rope_theta']
    if layout.config == 'nested':
        values |= {'dtype': layout.dtype, 'tie_word_embeddings': layout.tied}
        stretched = {'rope_type': 'yarn', **YARN} if layout.yarn else {'rope_type': 'default'}
        rope = {'mrope_section': section, 'rope_theta': theta, **stretched}
        values['text_config'] = {**text, 'dtype': layout.dtype, 'rope_parameters': rope}
        return values
    vision.pop('rope_parameters')
    text.pop('layer_types')
    text['rope_theta'] = theta
    text['rope_scaling'] = {'mrope_section': section, 'type': 'mrope'}
    if layout.config == 'both':
        # Release 4.52 and its followers write both words.
        text['rope_scaling'] |= {'rope_type': 'default', 'type': 'default'}
    if layout.yarn:
        text['rope_scaling'] = {'mrope_section': section, 'type': 'yarn', **YARN}
    text['tie_word_embeddings'] = layout.tied
    if layout.config == 'both':
        values['text_config'] = {**text, 'model_type': 'qwen2_5_vl_text'}
    else:
        vision['model_type'] = 'qwen2_5_vl'
    text.pop('model_type')
    return {**text, **values, 'torch_dtype': layout.dtype}


@functools.cache
def video() -> tuple[torch.Tensor, Any]:
    """Return a clip's patches and grid."""
    return to_patches(random_clip(0, 4, 84, 56), QWEN2_5_VL.pixels, torch.device('cpu'))


@pytest.mark.parametrize('layout', sampled(LAYOUTS, 10), ids=str)
@torch.inference_mode()
def test_a_folder_is_the_model_that_stock_loads(layout: Any, tmp_path: pathlib.Path) -> None:
    """The same logits and embeddings, from the same bytes, in the same number format."""
    write(tmp_path, layout)
    theirs = tmp_path
    if layout.config == 'both' and layout.yarn:
        # Release 5 falls over the values that stand outside of text_config.
        theirs = tmp_path / 'flat'
        theirs.mkdir()
        write(theirs, dataclasses.replace(layout, config='flat'))
    stock = Qwen2_5_VLForConditionalGeneration.from_pretrained(theirs, dtype=torch.float32)
    model = StreamQwenModel.from_pretrained(tmp_path, dtype=torch.float32)
    ids = torch.tensor([[*b'What happened?', 256, 300 % 264, *b' It moved.']])
    positions = torch.arange(ids.shape[1]).expand(3, 1, -1)
    expected = stock.eval()(input_ids=ids, position_ids=positions).logits
    assert (model(input_ids=ids).logits - expected).abs().max() < 1e-4
    assert expected.std() > 0.1
    patches, grid = video()
    thw = torch.tensor([[grid.t, 2 * grid.h, 2 * grid.w]])
    seen = torch.cat(list(stock.model.get_video_features(patches, thw).pooler_output))
    assert (model.encode_video(patches, grid) - seen).abs().max() < 1e-4
    assert (model.lm_head.weight is model.get_input_embeddings().weight) == layout.tied
    stored = StreamQwenModel.from_pretrained(tmp_path, dtype='auto')
    assert stored.dtype == getattr(torch, layout.dtype)


def test_yarn_is_another_model(tmp_path: pathlib.Path) -> None:
    """The cases above can tell whether positions are stretched."""
    ids = torch.tensor([[*b'What happened? It moved.']])
    logits = []
    for yarn in (False, True):
        folder = tmp_path / str(yarn)
        folder.mkdir()
        write(folder, Layout('flat', 'published', False, 'float32', 1, yarn))
        with torch.inference_mode():
            logits.append(StreamQwenModel.from_pretrained(folder)(input_ids=ids).logits)
    assert (logits[0] - logits[1]).abs().max() > 0.1
