# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How large a stream's cache is made, and how far its positions may go: by its settings."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from streamvlm_ros.engine.config import StreamSettings
from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.kvcache.allocation import check_fits


def tokens_kept(slots: int, slack: int) -> int:
    """Return how many tokens a cache of ``slots`` slots keeps at most; see ``StreamSettings``."""
    return slots - slots // slack


def slots_to_keep(tokens: int, slack: int) -> int:
    """Return how many slots it takes to keep ``tokens`` tokens."""
    return -(-tokens * slack // (slack - 1))


def cache_slots(
    settings: StreamSettings,
    layer_bytes: int,
    devices: Sequence[torch.device],
    token_rate: float,
    view_slots: int = 0,
) -> int:
    """Return how many slots the settings ask for.

    Args:
        settings: the stream's.
        layer_bytes: bytes of one token's keys and values in one layer.
        devices: one for each layer.
        token_rate: tokens per second of the stream at its largest frame size.
        view_slots: further ones, for the frames of views.

    Raises:
        StreamError: OUT_OF_MEMORY when they do not fit the devices; INVALID_REQUEST when the
            budget in bytes is smaller than a token.

    """
    slots = wanted_slots(settings, layer_bytes * len(devices))
    check_fits([slots], layer_bytes, devices, token_rate, view_slots)
    return slots


def check_all_fit(
    settings: Sequence[StreamSettings],
    layer_bytes: int,
    devices: Sequence[torch.device],
    view_slots: int = 0,
) -> None:
    """Refuse streams whose caches together do not fit the devices.

    Args:
        settings: the streams'.
        layer_bytes: bytes of one token's keys and values in one layer.
        devices: one for each layer.
        view_slots: further ones, for the frames of views.

    Raises:
        StreamError: as ``cache_slots``.

    """
    slots = [wanted_slots(each, layer_bytes * len(devices)) for each in settings]
    check_fits(slots, layer_bytes, devices, views=view_slots)


def wanted_slots(settings: StreamSettings, token_bytes: int) -> int:
    """Return how many slots the settings ask for; a token takes so many bytes.

    Raises:
        StreamError: INVALID_REQUEST when the budget in bytes is smaller than a token.

    """
    if settings.memory_tokens:
        return slots_to_keep(settings.memory_tokens, settings.slack)
    if not settings.memory_bytes:
        return settings.capacity
    slots = settings.memory_bytes // token_bytes
    if not slots:
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            f'memory_bytes is {settings.memory_bytes}, but a single token takes '
            f'{token_bytes} bytes; give more.',
        )
    return slots


def rebase_position(settings: StreamSettings, trained_positions: int) -> int:
    """Return the largest position of a stream; what is left above it is for questions.

    Args:
        settings: the stream's.
        trained_positions: as many as the model was trained on.

    """
    return settings.rebase_position or trained_positions * 3 // 4
