# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a stream can take from a file: what its settings and its model bound."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
from typing import Any

import torch

from streamvlm_ros.engine.config import StreamSettings
from streamvlm_ros.engine.models.position_rule import PositionRule
from streamvlm_ros.engine.models.preprocessing import ImageProcessorConfig
from streamvlm_ros.engine.models.prompt import Place, Prompt
from streamvlm_ros.engine.stream.stream import FrameStream


@dataclasses.dataclass(frozen=True)
class SavedBounds:
    """Bounds of one stream; they do not change while it lives, and any thread may read them.

    Attributes:
        fingerprint: what must be equal, see ``fingerprint.fingerprint``.
        settings: the stream's.
        pixels: its preprocessing.
        rule: the model's position rule.
        limit: tokens that are kept at most.
        layers, heads, width, dtype: of keys and of values.
        prefix: tokens before the first temporal patch.
        opening, closing: tokens that begin and end a vision segment.

    """

    fingerprint: Mapping[str, Any]
    settings: StreamSettings
    pixels: ImageProcessorConfig
    rule: PositionRule
    limit: int
    layers: int
    heads: int
    width: int
    dtype: torch.dtype
    prefix: int
    opening: int
    closing: int

    @classmethod
    def of(
        cls,
        stream: FrameStream,
        prompt: Prompt,
        settings: StreamSettings,
        rule: PositionRule,
        fingerprint: Mapping[str, Any],
    ) -> SavedBounds:
        """Return the bounds of a stream."""
        keys = stream.cache.keys
        return cls(
            fingerprint,
            settings,
            stream.pixels,
            rule,
            stream.memory.limit,
            len(keys),
            keys[0].shape[0],
            keys[0].shape[2],
            keys[0].dtype,
            len(prompt.open_segment(Place.NOTHING)),
            len(prompt.open_segment(Place.USER_TURN)),
            len(prompt.close_segment()),
        )
