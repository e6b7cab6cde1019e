# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Qwen2.5-VL's position rule: T counts the seconds of the video.

It is that of Qwen2.5-VL's own training code (``get_rope_index_25`` of qwen-vl-finetune), not that
of transformers, which cuts the seconds per grid to an integer and starts the text after a video
inside the video's own time span.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from streamvlm_ros.engine.kvcache.entries import CacheEntry
from streamvlm_ros.engine.kvcache.rebase import Move
from streamvlm_ros.engine.models.position_rule import PositionRule
from streamvlm_ros.engine.models.qwen2_5_vl.rebase import rebase_plan
from streamvlm_ros.engine.positions import NANOSECONDS, Segment, StreamState


def video_steps(elapsed_ns: int, tokens_per_second: float) -> int:
    """Return floor(seconds x tokens_per_second), exactly."""
    rate = Fraction(tokens_per_second).limit_denominator(10**6)
    return elapsed_ns * rate.numerator // (NANOSECONDS * rate.denominator)


class TimePositionRule(PositionRule):
    """T goes on by ``tokens_per_second`` for every second of video; see ``PositionRule``."""

    def __init__(self, video_token_id: int, tokens_per_second: float) -> None:
        """Take the id of ``<|video_pad|>`` and the T steps per second of video."""
        super().__init__(video_token_id)
        self._tokens_per_second = tokens_per_second

    def steps(self, segment: Segment, time_ns: int) -> int:
        """See ``PositionRule``."""
        return video_steps(time_ns - segment.start_ns, self._tokens_per_second) - segment.rebased

    def can_follow(self, elapsed_ns: int, steps: int) -> bool:
        """See ``PositionRule``."""
        least = video_steps(elapsed_ns, self._tokens_per_second)
        # Each of the two times is rounded down by itself.
        return steps in (least, least + 1)

    def rebase_plan(
        self, entries: Sequence[CacheEntry], state: StreamState
    ) -> tuple[list[Move], StreamState]:
        """See ``PositionRule``, and the module ``rebase`` for the rule."""
        return rebase_plan(entries, state)
