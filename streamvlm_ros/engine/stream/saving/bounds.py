# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a stream can take from a file: what its settings and its model bound."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import math
from typing import Any

import torch

from streamvlm_ros.engine.config import StreamSettings
from streamvlm_ros.engine.models.position_rule import PositionRule
from streamvlm_ros.engine.models.preprocessing import grid_of, ImageProcessorConfig
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
        prefix: number of the tokens that a stream begins with and keeps.
        prefix_ids: the different ids that they have.
        pad: id of the token that stands for one token of a temporal patch.
        vocabulary: number of the ids that there are.
        opening: the least and the largest number of tokens that open a vision segment.
        closing: number of the tokens that close one.
        each_patch_opens: every temporal patch is a vision segment of its own.

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
    prefix_ids: frozenset[int]
    pad: int
    vocabulary: int
    opening: tuple[int, int]
    closing: int
    each_patch_opens: bool

    @property
    def chunks_close(self) -> bool:
        """Whether no vision segment is open after a chunk."""
        return self.each_patch_opens or self.settings.position_mode == 'append'

    def chunk_tokens(self, size: tuple[int, int], frames: int) -> int:
        """Return how many tokens a stream has at most whose only chunk has these frames."""
        grid = grid_of(size, frames, self.pixels)
        segments = grid.t if self.each_patch_opens else 1
        return self.prefix + segments * (self.opening[1] + self.closing) + math.prod(grid)

    @classmethod
    def of(
        cls,
        stream: FrameStream,
        prompt: Prompt,
        settings: StreamSettings,
        rule: PositionRule,
        vocabulary: int,
        fingerprint: Mapping[str, Any],
    ) -> SavedBounds:
        """Return the bounds of a stream; the arguments are their own, or those of a stream."""
        keys = stream.cache.keys
        prefix = prompt.open_segment(Place.NOTHING)[: prompt.prefix_tokens]
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
            len(prefix),
            frozenset(prefix),
            prompt.pad,
            vocabulary,
            prompt.opening_tokens,
            len(prompt.close_segment()),
            prompt.each_patch_opens,
        )
