# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a saved stream can be continued with: the same model, prompt and settings."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import hashlib
import math
from typing import Any

import torch

from streamvlm_ros.engine.config import StreamSettings
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.models.preprocessing import ImageProcessorConfig
from streamvlm_ros.engine.models.prompt import Place, Prompt
from streamvlm_ros.engine.ops.quantization import stored_weights
from streamvlm_ros.engine.store.fields import shown

ROUNDING = 2e-6  # relative; a rotation's frequencies are float32
SAMPLES = 16  # values of every weight that go into the hash


def fingerprint(
    model: StreamingModel, prompt: Prompt, pixels: ImageProcessorConfig, settings: StreamSettings
) -> dict[str, Any]:
    """Return what must be equal for keys, positions and prompt to go on, by name.

    The weights are there as a hash over a few values of each: enough to tell one training or
    quantisation from another, and quick for billions of them.
    """
    return {
        **model.description(),
        'model.dtype': str(model.dtype).removeprefix('torch.'),
        'model.weights': weights_hash(model),
        'prompt': _hash_ids(
            *(prompt.open_segment(place) for place in Place),
            prompt.close_segment(),
            prompt.turn_end,
            [prompt.pad],
        ),
        'pixels': _plain(dataclasses.asdict(pixels)),
        'position_mode': settings.position_mode,
        'time_source': settings.time_source,
    }


def differing(mine: Mapping[str, Any], other: Any) -> str:
    """Return a text that says what differs first, '' when nothing does.

    Args:
        mine: a fingerprint.
        other: what a file has in its place, whatever that is.

    """
    if type(other) is not dict or other.keys() - mine.keys():
        return 'its description is one of another version'
    for name, value in mine.items():
        if name not in other or not _equal(value, other[name]):
            return f'its {name} is {shown(other.get(name, "missing"))} and not {shown(value)}'
    return ''


def weights_hash(model: torch.nn.Module) -> str:
    """Return a hash over evenly spaced values of all that is trained, in its order."""
    state = hashlib.sha256()
    for weights in stored_weights(model):
        flat = weights.detach().reshape(-1)
        some = flat[:: max(1, flat.numel() // SAMPLES)][:SAMPLES]
        state.update(some.float().cpu().numpy().tobytes())
    return state.hexdigest()[:16]


def _hash_ids(*pieces: list[int]) -> str:
    return hashlib.sha256(str(pieces).encode()).hexdigest()[:16]


def _equal(mine: Any, other: Any) -> bool:
    """Compare two values; numbers with a fraction are rounded differently on another device."""
    if type(mine) is not type(other):
        return False
    if isinstance(mine, list):
        return len(mine) == len(other) and all(map(_equal, mine, other))
    if isinstance(mine, dict):
        return mine.keys() == other.keys() and all(
            _equal(mine[name], other[name]) for name in mine
        )
    if isinstance(mine, float):
        return math.isclose(mine, other, rel_tol=ROUNDING)
    return bool(mine == other)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return values as JSON gives them back: tuples as lists."""
    return {
        name: list(value) if isinstance(value, (list, tuple)) else value
        for name, value in sorted(values.items())
    }
