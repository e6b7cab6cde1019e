# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A Qwen3-VL's config.json: what it must say for the model to be built of it."""

from __future__ import annotations

import math
import os
from typing import Any

from transformers import Qwen3VLConfig

from streamvlm_ros.engine.models.folder.config import check_config, config_file
from streamvlm_ros.engine.models.qwen.config import check_activations, parse_config

MODEL_TYPE = 'qwen3_vl'
# What only this family has; see ``folder.config.LARGEST``.
NUMBERS: dict[str, float] = {'num_position_embeddings': 1 << 20}
# What transformers takes where a configuration names none.
STOCK_SECTION = (24, 20, 20)


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a config.json says, as far as ``folder.config.check_config`` checks it."""
    return check_config(path, MODEL_TYPE, NUMBERS)


def load_config(path: str | os.PathLike[str]) -> Qwen3VLConfig:
    """Return the configuration of a hub id or a folder.

    Raises:
        OSError: there is no config.json.
        ValueError: it is of another architecture, asks for program code, for weights that are not
            run here, or has an impossible number.

    """
    config = parse_config(path, read_config(path), Qwen3VLConfig, STOCK_SECTION)
    file, text, vision = config_file(path), config.text_config, config.vision_config
    check_activations(file, config, 'gelu_pytorch_tanh', 'Qwen3-VL')
    if text.rope_parameters.get('mrope_interleaved') is False:
        raise ValueError(
            f'{file}: mrope_interleaved is false; the axes of every Qwen3-VL take turns.'
        )
    if text.attention_bias:
        raise ValueError(f'{file}: attention_bias is true; no Qwen3-VL has biases there.')
    side = math.isqrt(vision.num_position_embeddings)
    if side**2 != vision.num_position_embeddings:
        raise ValueError(
            f'{file}: num_position_embeddings is {vision.num_position_embeddings}; it must be a '
            'square, as many rows as columns of patches.'
        )
    if vision.hidden_size % (4 * vision.num_heads):
        raise ValueError(
            f'{file}: hidden_size of vision_config is {vision.hidden_size} and num_heads '
            f'{vision.num_heads}; the width of a head must be a multiple of 4.'
        )
    if vision.out_hidden_size != text.hidden_size:
        raise ValueError(
            f'{file}: out_hidden_size is {vision.out_hidden_size}; it must be the hidden_size of '
            f'the text, {text.hidden_size}.'
        )
    found = list(vision.deepstack_visual_indexes)
    if (
        found != sorted(set(found))
        or len(found) > text.num_hidden_layers
        or not set(found) <= set(range(vision.depth))
    ):
        raise ValueError(
            f'{file}: deepstack_visual_indexes is {found!s:.200}; they must be numbers of blocks, '
            f'rising, from 0 to {vision.depth - 1}, and at most {text.num_hidden_layers} of them.'
        )
    return config
