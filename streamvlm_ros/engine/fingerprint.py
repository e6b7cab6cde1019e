# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a saved stream can be continued with: the same model, prompt and settings."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import hashlib
from typing import Any

import torch

from streamvlm_ros.engine.frames import PixelSettings
from streamvlm_ros.engine.model import StreamQwenModel
from streamvlm_ros.engine.prompt import Place, Prompt
from streamvlm_ros.engine.quantized import stored_weights
from streamvlm_ros.engine.settings import StreamSettings

SAMPLES = 16  # values of every weight that go into the hash


def fingerprint(model: StreamQwenModel, prompt: Prompt, pixels: PixelSettings,
                settings: StreamSettings) -> dict[str, Any]:
    """Return what must be equal for keys, positions and prompt to go on, by name.

    The model's weights are there as a hash over a few values of each: enough to tell one training
    or quantisation from another, and quick for billions of them.
    """
    text, vision = model.config.text_config, model.config.vision_config
    return {
        'model.layers': text.num_hidden_layers,
        'model.hidden_size': text.hidden_size,
        'model.heads': text.num_attention_heads,
        'model.kv_heads': text.num_key_value_heads,
        'model.rotation': _plain(text.rope_parameters),
        'model.tokens_per_second': vision.tokens_per_second,
        'model.dtype': str(model.dtype).removeprefix('torch.'),
        'model.weights': weights_hash(model),
        'prompt': _hash_ids(prompt.open_segment(Place.NOTHING), prompt.close_segment(),
                            prompt.turn_end, [prompt.pad]),
        'pixels': _plain(dataclasses.asdict(pixels)),
        'position_mode': settings.position_mode,
        'time_source': settings.time_source,
    }


def differing(mine: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return a text that says what differs first, '' when nothing does."""
    for name, value in mine.items():
        if name not in other or other[name] != value:
            return f'its {name} is {other.get(name, "missing")!s:.80} and not {value!s:.80}'
    return ''


def weights_hash(model: torch.nn.Module) -> str:
    """Return a hash over evenly spaced values of all that is trained, in its order."""
    state = hashlib.sha256()
    for weights in stored_weights(model):
        flat = weights.detach().reshape(-1)
        some = flat[::max(1, flat.numel() // SAMPLES)][:SAMPLES]
        state.update(some.float().cpu().numpy().tobytes())
    return state.hexdigest()[:16]


def _hash_ids(*pieces: list[int]) -> str:
    return hashlib.sha256(str(pieces).encode()).hexdigest()[:16]


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return values as JSON gives them back: tuples as lists."""
    return {name: list(value) if isinstance(value, (list, tuple)) else value
            for name, value in sorted(values.items())}
