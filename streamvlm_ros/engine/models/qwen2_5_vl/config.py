# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A Qwen2.5-VL's config.json: what it must say for the model to be built of it."""

from __future__ import annotations

from collections.abc import Mapping
import os
import re
from typing import Any

from transformers import Qwen2_5_VLConfig

from streamvlm_ros.engine.models.folder.awq import as_whole
from streamvlm_ros.engine.models.folder.config import check_config, config_file
from streamvlm_ros.engine.models.folder.rope import check_rope
from streamvlm_ros.engine.models.generation import check_generation

MODEL_TYPE = 'qwen2_5_vl'
# What only this family has; see ``folder.config.LARGEST``.
NUMBERS: dict[str, float] = {'window_size': 1 << 14, 'tokens_per_second': float(1 << 16)}
ROPE_NAMES = ('rope_scaling', 'rope_parameters', 'rope_theta')
# What transformers takes where a configuration names none.
STOCK_SECTION = [16, 24, 24]

_LAYER = re.compile(r'(?:^|\.)(layers|blocks)\.(\d+)\.mlp\.gate_proj\.weight$')


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a config.json says, as far as ``folder.config.check_config`` checks it."""
    return check_config(path, MODEL_TYPE, NUMBERS)


def load_config(path: str | os.PathLike[str]) -> Qwen2_5_VLConfig:
    """Return the configuration of a hub id or a folder.

    Raises:
        OSError: there is no config.json.
        ValueError: it is of another architecture, asks for program code, for weights that are not
            run here, or has an impossible number.

    """
    values = read_config(path)
    file = config_file(path)
    if values.get('text_config') is not None:
        # Releases 4.52 to 4.57 wrote these twice, and release 5 fails on the outer ones.
        values = {name: value for name, value in values.items() if name not in ROPE_NAMES}
    try:
        config = Qwen2_5_VLConfig.from_dict(values)
        text = config.text_config
        head = getattr(text, 'head_dim', None) or text.hidden_size // text.num_attention_heads
        text.rope_parameters.setdefault('mrope_section', STOCK_SECTION)
        section = [int(size) for size in text.rope_parameters['mrope_section']]
        known = 0 <= config.video_token_id < text.vocab_size
    except Exception as error:
        # Whatever a value of another kind brings about inside transformers.
        raise ValueError(
            f'{file} is not a {MODEL_TYPE} configuration: {type(error).__name__}: {error!s:.300}'
        ) from error
    if len(section) != 3 or min(section) < 0 or 2 * sum(section) != head:
        raise ValueError(
            f'{file}: mrope_section is {section}; it must be three whose sum '
            f"is half the heads' width, {head // 2}."
        )
    check_rope(file, text, head // 2)
    if not known:
        raise ValueError(
            f'{file}: video_token_id is {config.video_token_id}; it must be below '
            f'the vocab_size, {text.vocab_size}.'
        )
    vision = config.vision_config
    if vision.window_size < vision.patch_size * vision.spatial_merge_size:
        raise ValueError(
            f'{file}: window_size is {vision.window_size}; it must be at least '
            f'{vision.patch_size * vision.spatial_merge_size}, the side of a token.'
        )
    for section, name in ((text, 'text_config'), (vision, 'vision_config')):
        if section.hidden_act != 'silu':
            raise ValueError(
                f'{file}: hidden_act of {name} is {section.hidden_act!r:.80}; only '
                'silu is run, which every Qwen2.5-VL has.'
            )
    check_generation(path)
    return config


def shape_difference(config: Qwen2_5_VLConfig, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Return a text that says how a file's weights differ from a configuration.

    Args:
        config: the model's.
        shapes: of the tensors in its files, by their names.

    Returns:
        Numbers of layers, or a shape; '' if nothing differs.

    """
    text, vision = config.text_config, config.vision_config
    shapes = as_whole(shapes)
    expected = {
        'layers': (text.num_hidden_layers, (text.intermediate_size, text.hidden_size)),
        'blocks': (vision.depth, (vision.intermediate_size, vision.hidden_size)),
    }
    found: dict[str, dict[int, tuple[int, ...]]] = {'layers': {}, 'blocks': {}}
    table = (text.vocab_size, text.hidden_size)
    for name, shape in shapes.items():
        match = _LAYER.search(name)
        if match:
            found[match[1]][int(match[2])] = shape
        if name.endswith('embed_tokens.weight') and shape != table:
            return f'{name} is {list(shape)} and not {list(table)}'
    for kind, (count, wanted) in expected.items():
        if len(found[kind]) != count:
            return f'they have {len(found[kind])} {kind} and not {count}'
        for number, shape in found[kind].items():
            if shape != wanted:
                return f'{kind}.{number}.mlp.gate_proj is {list(shape)} and not {list(wanted)}'
    return ''
