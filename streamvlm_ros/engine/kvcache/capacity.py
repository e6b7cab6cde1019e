# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How large a stream's cache is made, and how far its positions may go: by its settings."""

from __future__ import annotations

from collections.abc import Sequence

from streamvlm_ros.engine.config import StreamSettings
from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.kvcache.allocation import check_fits
from streamvlm_ros.engine.models.preprocessing import ImageProcessorConfig
from streamvlm_ros.engine.models.qwen2_5_vl.model import StreamQwenModel

# Positions that Qwen2.5-VL was trained on; its configuration names four times as many.
TRAINED_POSITIONS = 32768


def tokens_kept(slots: int, slack: int) -> int:
    """Return how many tokens a cache of so many slots keeps at most; see ``StreamSettings``."""
    return slots - slots // slack


def slots_to_keep(tokens: int, slack: int) -> int:
    """Return how many slots it takes to keep so many tokens."""
    return -(-tokens * slack // (slack - 1))


def cache_slots(
    model: StreamQwenModel, pixels: ImageProcessorConfig, settings: StreamSettings
) -> int:
    """Return how many slots the settings ask for.

    Raises:
        StreamError: OUT_OF_MEMORY when they do not fit the model's devices; INVALID_REQUEST when
            the budget in bytes is smaller than a token.

    """
    slots = _wanted_slots(model, settings)
    patches = settings.sample_rate / pixels.temporal_patch_size
    check_fits(
        [slots],
        model.layer_bytes,
        model.layer_devices,
        patches * pixels.max_pixels // pixels.factor**2,
    )
    return slots


def check_all_fit(model: StreamQwenModel, settings: Sequence[StreamSettings]) -> None:
    """Refuse streams whose caches do not fit the model's devices together.

    Raises:
        StreamError: as ``cache_slots``.

    """
    slots = [_wanted_slots(model, each) for each in settings]
    check_fits(slots, model.layer_bytes, model.layer_devices)


def _wanted_slots(model: StreamQwenModel, settings: StreamSettings) -> int:
    if settings.memory_tokens:
        return slots_to_keep(settings.memory_tokens, settings.slack)
    if not settings.memory_bytes:
        return settings.capacity
    token = model.layer_bytes * len(model.layer_devices)
    slots = settings.memory_bytes // token
    if not slots:
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            f'memory_bytes is {settings.memory_bytes}, but a single token takes '
            f'{token} bytes; give more.',
        )
    return slots


def rebase_position(model: StreamQwenModel, settings: StreamSettings) -> int:
    """Return the largest position of the stream; what is left above it is for questions."""
    trained = min(TRAINED_POSITIONS, model.config.text_config.max_position_embeddings)
    return settings.rebase_position or trained * 3 // 4
