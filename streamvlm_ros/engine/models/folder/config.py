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

from transformers import Qwen2_5_VLConfig

from streamvlm_ros.engine.models.folder.files import expand, find_file, read_json

MODEL_TYPE = 'qwen2_5_vl'
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
LARGEST = {
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
    'window_size': 1 << 14,
    'in_channels': 16,
    'in_chans': 16,
    'tokens_per_second': 1 << 16,
    'max_position_embeddings': 1 << 30,
}


def load_config(path: str | os.PathLike[str]) -> Qwen2_5_VLConfig:
    """Return the configuration of a hub id or a folder.

    Raises:
        OSError: there is no config.json.
        ValueError: it is of another architecture, asks for program code, for weights that are not
            run here, or has an impossible number.

    """
    values = check_config(path)
    file = _file(path)
    try:
        config = Qwen2_5_VLConfig.from_dict(values)
        text = config.text_config
        head = getattr(text, 'head_dim', None) or text.hidden_size // text.num_attention_heads
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
    _check_stop(path)
    return config


def check_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the content of config.json without what names kernels; raises as ``load_config``."""
    values = read_json(path, 'config.json')
    if not values:
        raise FileNotFoundError(f'{path} is not a model folder: it has no config.json.')
    file = _file(path)
    kind = values.get('model_type')
    if kind is None:
        raise ValueError(
            f'{file} names no model_type; is it the config.json of a {MODEL_TYPE} model?'
        )
    if kind != MODEL_TYPE:
        raise ValueError(
            f'{path} holds a {kind!s:.80} model; this package runs {MODEL_TYPE} only ({file}).'
        )
    if values.get('vision_config') is None:
        raise ValueError(
            f'{file} has no vision_config, so it is that of a model without vision, or the file '
            'is damaged. Take the config.json that the model was published with.'
        )
    if 'quantization_config' in values:
        method = values['quantization_config']
        name = method.get('quant_method', '') if isinstance(method, Mapping) else ''
        raise ValueError(
            f'{file} says that the weights are quantized already ({name!s:.40}), and those are '
            "not run. Take the model's full weights and set quantization: int8 or int4."
        )
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
        _check_numbers(file, section)
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


def _check_numbers(file: str, section: Mapping[str, Any]) -> None:
    for key, most in LARGEST.items():
        value = section.get(key)
        if value is None:
            continue
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not (0 < value <= most)
            or (key != 'tokens_per_second' and value != int(value))
        ):
            raise ValueError(
                f'{file}: {key} is {value!r:.80}; it must be a number from 1 to {most}.'
            )


def _check_stop(path: str | os.PathLike[str]) -> None:
    """Refuse a generation_config.json whose ends of an answer are not token ids."""
    stop = read_json(path, 'generation_config.json').get('eos_token_id')
    for token in stop if isinstance(stop, list) else [stop]:
        if token is not None and (isinstance(token, bool) or not isinstance(token, int)):
            raise ValueError(
                f'{expand(path)}/generation_config.json: eos_token_id is '
                f'{stop!r:.80}; it must be token ids.'
            )


def _file(path: str | os.PathLike[str]) -> str:
    return str(find_file(path, 'config.json') or os.path.join(expand(path), 'config.json'))
