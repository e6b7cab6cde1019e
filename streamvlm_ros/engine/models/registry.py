# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The model families that are run, by the model_type that config.json names."""

from __future__ import annotations

import os
from typing import Any

from streamvlm_ros.engine.models.base import ModelFamily, StreamingModel
from streamvlm_ros.engine.models.folder.checkpoint import check_checkpoint
from streamvlm_ros.engine.models.folder.config import config_file, read_model_type
from streamvlm_ros.engine.models.qwen2_5_vl.model import QWEN2_5_VL
from streamvlm_ros.engine.models.qwen3_vl.model import QWEN3_VL

FAMILIES: dict[str, ModelFamily] = {}


def register(family: ModelFamily) -> None:
    """Add a family, or put it in the place of one with the same model_type."""
    FAMILIES[family.model_type] = family


register(QWEN2_5_VL)
register(QWEN3_VL)


def family_at(path: str | os.PathLike[str]) -> ModelFamily:
    """Return the family of the model in a folder or under a hub id.

    Raises:
        OSError: the folder does not exist or has no config.json.
        ValueError: config.json cannot be read, or names no family that is known here.

    """
    check_checkpoint(path)
    kind, _ = read_model_type(path)
    if kind not in FAMILIES:
        known = ', '.join(sorted(FAMILIES))
        raise ValueError(
            f'{path} holds a {kind:.80} model; this package runs {known} ({config_file(path)}).'
        )
    return FAMILIES[kind]


def load_model(path: str | os.PathLike[str], **kwargs: Any) -> StreamingModel:
    """Load the model in a folder or under a hub id, whatever family it is of.

    Args:
        path: hub id or folder in the published layout.
        **kwargs: as transformers takes them, e.g. ``dtype`` and accelerate's ``device_map``.

    Raises:
        OSError, ValueError: as ``family_at``, and as the family's own ``load``.

    """
    return family_at(path).load(path, **kwargs)
