# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Qwen2.5-VL's T axis: it counts the seconds of the video.

It is that of Qwen2.5-VL's own training code (``get_rope_index_25`` of qwen-vl-finetune), not that
of transformers, which cuts the seconds per grid to an integer and starts the text after a video
inside the video's own time span.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction

from streamvlm_ros.engine.positions import Segment
from streamvlm_ros.stamps import NANOSECONDS


def video_steps(elapsed_ns: int, tokens_per_second: float) -> int:
    """Return floor(seconds x tokens_per_second), exactly."""
    rate = Fraction(tokens_per_second).limit_denominator(10**6)
    return elapsed_ns * rate.numerator // (NANOSECONDS * rate.denominator)


@dataclasses.dataclass(frozen=True)
class SecondsTime:
    """T goes on by ``tokens_per_second`` for every second of video; see ``PatchTime``."""

    tokens_per_second: float

    def steps(self, segment: Segment, time_ns: int) -> int:
        """See ``PatchTime``."""
        return video_steps(time_ns - segment.start_ns, self.tokens_per_second) - segment.rebased

    def can_follow(self, elapsed_ns: int, steps: int) -> bool:
        """See ``PatchTime``."""
        least = video_steps(elapsed_ns, self.tokens_per_second)
        # Each of the two times is rounded down by itself.
        return steps in (least, least + 1)
