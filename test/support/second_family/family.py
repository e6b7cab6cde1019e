# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The second family's folders: written, read, and registered."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import json
import os
import pathlib
from typing import Any

from safetensors.torch import load_file, save_file
from support.second_family.model import (
    CONTROL,
    CONTROL_ID,
    LanternModel,
    MERGE,
    PATCH,
    TEMPORAL,
    VOCABULARY,
)
from tokenizers import AddedToken, decoders, models, pre_tokenizers, Tokenizer
import torch

from streamvlm_ros.engine.models.base import ModelFamily, PatchText, SpecialTokens
from streamvlm_ros.engine.models.folder.config import check_config
from streamvlm_ros.engine.models.folder.weight_files import check_weights, Shapes
from streamvlm_ros.engine.models.preprocessing import ImageProcessorConfig

MODEL_TYPE = 'lantern_vl'
SIDE = PATCH * MERGE
LARGEST_SIDE = 4 * SIDE
TEMPLATE = (
    "{% for message in messages %}[turn]{{ message['role'][0] }}:"
    "{% for content in message['content'] %}{% if content['type'] == 'video' %}"
    "[see][dot][/see]{% else %}{{ content['text'] }}{% endif %}{% endfor %}[/turn]{% endfor %}"
    '{% if add_generation_prompt %}[turn]a:{% endif %}'
)
VISION_CONFIG = {
    'patch_size': PATCH,
    'spatial_merge_size': MERGE,
    'temporal_patch_size': TEMPORAL,
}


class WholeTokens(ImageProcessorConfig):
    """Sides are cut down to whole tokens, within bounds; the aspect ratio is not kept."""

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """See ``ImageProcessorConfig``."""
        height, width = (
            min(max(side // SIDE * SIDE, SIDE), LARGEST_SIDE) for side in (height, width)
        )
        return height, width


def patch_text(elapsed_ns: Sequence[int]) -> str:
    """Return what is written before a temporal patch, of its first frame; ``PatchText.of``."""
    return f'<{elapsed_ns[0] / 1e9:.1f} s>'


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the content of a folder's config.json, checked."""
    return check_config(path, MODEL_TYPE, {})


def shape_difference(shapes: Shapes) -> str:
    """Return how a file's shapes differ from the model's, '' if they do not."""
    with torch.device('meta'):
        state = LanternModel(LANTERN).state_dict()
    wanted = {name: tuple(each.shape) for name, each in state.items()}
    return '' if shapes == wanted else 'its tensors have other names or shapes'


def load(
    path: str | os.PathLike[str], dtype: torch.dtype = torch.float32, device_map: str = 'cpu'
) -> LanternModel:
    """Load the model of a folder to a device; it is not spread over several."""
    read_config(path)
    check_weights(path, shape_difference)
    model = LanternModel(LANTERN)
    model.load_state_dict(load_file(pathlib.Path(path) / 'model.safetensors'))
    return model.to(device_map, dtype).eval()


LANTERN: ModelFamily = ModelFamily(
    model_type=MODEL_TYPE,
    name='Lantern',
    tokens=SpecialTokens(
        video='[dot]',
        vision_start='[see]',
        vision_end='[/see]',
        turn_start='[turn]',
        turn_end='[/turn]',
    ),
    pixels=WholeTokens(
        patch_size=PATCH,
        temporal_patch_size=TEMPORAL,
        merge_size=MERGE,
        min_pixels=SIDE**2,
        max_pixels=LARGEST_SIDE**2,
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.25, 0.3),
    ),
    read_config=read_config,
    load=load,
    build=lambda path: LanternModel(LANTERN),
    patch_text=PatchText(of=patch_text, most_tokens=20),
)


def random_weights(seed: int = 0) -> LanternModel:
    """Return a random float32 model whose logits depend strongly on what it saw."""
    torch.manual_seed(seed)
    model = LanternModel(LANTERN).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=1.2 * parameter[0].numel() ** -0.5)
            elif 'norm' in name and 'weight' in name:
                parameter.uniform_(0.5, 1.5)
    return model


def write(folder: pathlib.Path) -> None:
    """Write a model with its tokenizer and settings as they are published."""
    config = {'model_type': MODEL_TYPE, 'vocab_size': VOCABULARY, 'vision_config': VISION_CONFIG}
    pixels = dataclasses.asdict(LANTERN.pixels)
    bounds = {name: pixels[name] for name in ('min_pixels', 'max_pixels')}
    tokenizer = {
        'tokenizer_class': 'PreTrainedTokenizerFast',
        'chat_template': TEMPLATE,
    }
    for name, content in (
        ('config.json', config),
        ('preprocessor_config.json', bounds),
        ('tokenizer_config.json', tokenizer),
    ):
        (folder / name).write_text(json.dumps(content))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(token, special=True) for token in CONTROL])
    assert all(core.token_to_id(token) == CONTROL_ID[token] for token in CONTROL)
    core.save(str(folder / 'tokenizer.json'))
    weights = {name: each.clone() for name, each in random_weights().state_dict().items()}
    save_file(weights, folder / 'model.safetensors')
