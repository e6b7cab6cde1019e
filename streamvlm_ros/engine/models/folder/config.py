# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A model's config.json, read without trust in it.

What it says about program code is refused, and its numbers are bounded before a model is built
of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
import os
from typing import Any

from streamvlm_ros.engine.models.folder.files import expand, find_file, read_json
from streamvlm_ros.engine.models.folder.quantized import read_quantization

# Which kernels run is for us to say, not for the folder.
ATTENTION_KEYS = (
    'attn_implementation',
    '_attn_implementation',
    '_attn_implementation_internal',
    '_attn_implementation_autoset',
    'experts_implementation',
)
OWN_ATTENTION = (
    None,
    True,
    False,
    'eager',
    'sdpa',
    'flash_attention_2',
    'flash_attention_3',
    'flex_attention',
)
# Numbers that sizes and loops are made of, wherever they stand: what a model can have at most.
# One that may have a fraction has a bound that is a float.
LARGEST: dict[str, float] = {
    'num_hidden_layers': 1024,
    'depth': 1024,
    'hidden_size': 1 << 16,
    'out_hidden_size': 1 << 16,
    'intermediate_size': 1 << 20,
    'num_attention_heads': 1024,
    'num_key_value_heads': 1024,
    'num_heads': 1024,
    'head_dim': 4096,
    'vocab_size': 1 << 22,
    'patch_size': 256,
    'spatial_patch_size': 256,
    'spatial_merge_size': 16,
    'temporal_patch_size': 16,
    'in_channels': 16,
    'in_chans': 16,
    'max_position_embeddings': 1 << 30,
}


def read_model_type(path: str | os.PathLike[str]) -> tuple[str, dict[str, Any]]:
    """Return a config.json's model_type, and all that it says, none of which is checked.

    Raises:
        OSError: there is no config.json.
        ValueError: it is not one JSON object, or names no model_type.

    """
    values = read_json(path, 'config.json')
    if not values:
        raise FileNotFoundError(f'{path} is not a model folder: it has no config.json.')
    kind = values.get('model_type')
    if kind is None:
        raise ValueError(
            f'{config_file(path)} names no model_type; is it the config.json of a model?'
        )
    return str(kind), values


def check_config(
    path: str | os.PathLike[str], model_type: str, numbers: Mapping[str, float]
) -> dict[str, Any]:
    """Return the content of config.json without what names kernels.

    Args:
        path: hub id or folder.
        model_type: what the model must be.
        numbers: bounds of this family's own numbers, as in ``LARGEST``.

    Raises:
        OSError: there is no config.json.
        ValueError: it is of another architecture, asks for program code, for weights that are not
            run here, or has an impossible number.

    """
    kind, values = read_model_type(path)
    file = config_file(path)
    if kind != model_type:
        raise ValueError(f'{path} holds a {kind:.80} model, and not a {model_type} ({file}).')
    if values.get('vision_config') is None:
        raise ValueError(
            f'{file} has no vision_config, so it is that of a model without vision, or the file '
            'is damaged. Take the config.json that the model was published with.'
        )
    read_quantization(file, values)
    if values.get('transformers_weights') is not None:
        raise ValueError(
            f'{file} names a file of weights of its own (transformers_weights); '
            'model.safetensors and its index only are loaded.'
        )
    refuse_code(file, values)
    for name, section in _sections(values):
        if not isinstance(section, dict):
            raise ValueError(f'{file}: {name} must be an object, not {section!r:.80}.')
        for key in ATTENTION_KEYS:
            wanted = section.pop(key, None)
            if not any(wanted is each or wanted == each for each in OWN_ATTENTION):
                raise ValueError(
                    f'{file} asks for the kernel {wanted!r:.80} ({key}); the kernels are those '
                    'of this package, and nothing is fetched. Remove that entry.'
                )
        _check_numbers(file, section, {**LARGEST, **numbers})
    return values


def refuse_code(file: str, values: Mapping[str, Any]) -> None:
    """Refuse a file that asks for Python code of the model's own.

    Raises:
        ValueError: it does.

    """
    if values.get('auto_map'):
        raise ValueError(
            f'{file} asks for program code of its own (auto_map), which is never '
            'run here. Remove that entry, if the model does without.'
        )


def _sections(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield 'the file', values
    for name in ('text_config', 'vision_config'):
        if values.get(name) is not None:
            yield name, values[name]


def _check_numbers(file: str, section: Mapping[str, Any], largest: Mapping[str, float]) -> None:
    for key, most in largest.items():
        value = section.get(key)
        if value is None:
            continue
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not (0 < value <= most)
            or (isinstance(most, int) and value != int(value))
        ):
            raise ValueError(
                f'{file}: {key} is {value!r:.80}; it must be a number from 1 to {int(most)}.'
            )


def config_file(path: str | os.PathLike[str]) -> str:
    """Return where config.json lies, for sentences about it."""
    return str(find_file(path, 'config.json') or os.path.join(expand(path), 'config.json'))
