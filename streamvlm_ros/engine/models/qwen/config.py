# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A Qwen model's config.json: what it must say for the decoder to be built of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import os
import re
from typing import Any

from streamvlm_ros.engine.models.folder.awq import as_whole
from streamvlm_ros.engine.models.folder.config import config_file
from streamvlm_ros.engine.models.folder.rope import check_rope
from streamvlm_ros.engine.models.generation import check_generation
from streamvlm_ros.engine.models.qwen.modules import head_width

ROPE_NAMES = ('rope_scaling', 'rope_parameters', 'rope_theta')

_LAYER = re.compile(r'(?:^|\.)(layers|blocks)\.(\d+)\.mlp\.(gate_proj|linear_fc1)\.weight$')


def parse_config(
    path: str | os.PathLike[str],
    values: Mapping[str, Any],
    kind: Any,
    stock_section: Sequence[int],
) -> Any:
    """Return what config.json says as transformers has it; the decoder's part is checked.

    Args:
        path: hub id or folder of the model.
        values: content of its config.json, as ``folder.config.check_config`` returns it.
        kind: transformers' class of the configuration.
        stock_section: what transformers takes where a configuration names no ``mrope_section``.

    Raises:
        ValueError: it is damaged, or asks for what is not run.

    """
    file = config_file(path)
    if values.get('text_config') is not None:
        # Releases 4.52 to 4.57 wrote these twice, and release 5 fails on the outer ones.
        values = {name: value for name, value in values.items() if name not in ROPE_NAMES}
    try:
        config = kind.from_dict(dict(values))
        text = config.text_config
        head = head_width(text)
        text.rope_parameters.setdefault('mrope_section', list(stock_section))
        section = [int(size) for size in text.rope_parameters['mrope_section']]
        known = 0 <= config.video_token_id < text.vocab_size
    except Exception as error:
        # Whatever a value of another kind brings about inside transformers.
        raise ValueError(
            f'{file} is not a {kind.model_type} configuration: '
            f'{type(error).__name__}: {error!s:.300}'
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
    check_generation(path)
    return config


def check_activations(file: str, config: Any, vision_activation: str, name: str) -> None:
    """Refuse other activations than every model of a family called ``name`` has.

    Raises:
        ValueError: there are others.

    """
    for section, part, wanted in (
        (config.text_config, 'text_config', 'silu'),
        (config.vision_config, 'vision_config', vision_activation),
    ):
        if section.hidden_act != wanted:
            raise ValueError(
                f'{file}: hidden_act of {part} is {section.hidden_act!r:.80}; only '
                f'{wanted} is run, which every {name} has.'
            )


def shape_difference(config: Any, shapes: Mapping[str, tuple[int, ...]]) -> str:
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
    found: dict[str, dict[str, tuple[int, ...]]] = {'layers': {}, 'blocks': {}}
    table = (text.vocab_size, text.hidden_size)
    for name, shape in shapes.items():
        match = _LAYER.search(name)
        if match:
            found[match[1]][f'{match[1]}.{int(match[2])}.mlp.{match[3]}'] = shape
        if name.endswith('embed_tokens.weight') and shape != table:
            return f'{name} is {list(shape)} and not {list(table)}'
    for kind, (count, wanted) in expected.items():
        if len(found[kind]) != count:
            return f'they have {len(found[kind])} {kind} and not {count}'
        for name, shape in found[kind].items():
            if shape != wanted:
                return f'{name} is {list(shape)} and not {list(wanted)}'
    return ''
