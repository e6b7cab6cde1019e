# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A Qwen2.5-VL's config.json: what it must say for the model to be built of it."""

from __future__ import annotations

import os
from typing import Any

from transformers import Qwen2_5_VLConfig

from streamvlm_ros.engine.models.folder.config import check_config, config_file
from streamvlm_ros.engine.models.qwen.config import check_activations, parse_config

MODEL_TYPE = 'qwen2_5_vl'
# What only this family has; see ``folder.config.LARGEST``.
NUMBERS: dict[str, float] = {'window_size': 1 << 14, 'tokens_per_second': float(1 << 16)}
# What transformers takes where a configuration names none.
STOCK_SECTION = (16, 24, 24)


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
    config = parse_config(path, read_config(path), Qwen2_5_VLConfig, STOCK_SECTION)
    file, vision = config_file(path), config.vision_config
    if vision.window_size < vision.patch_size * vision.spatial_merge_size:
        raise ValueError(
            f'{file}: window_size is {vision.window_size}; it must be at least '
            f'{vision.patch_size * vision.spatial_merge_size}, the side of a token.'
        )
    check_activations(file, config, 'silu', 'Qwen2.5-VL')
    return config
