# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which of a camera's frames are taken: by their stamps, not by their arrival."""

from __future__ import annotations

from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.positions import NANOSECONDS

# A camera's jitter must not cost frames when it runs at the sample rate itself.
TOLERANCE = 10


class StampSampler:
    """Takes frames on a grid of stamps that is anchored at the first one."""

    def __init__(self, rate: float) -> None:
        """Take ``rate`` frames a second of stream time; 0 takes all."""
        self._period = round(NANOSECONDS / rate) if rate else 0
        self._due: int | None = None
        self._last = 0

    def take(self, stamp_ns: int) -> bool:
        """Return whether a frame is taken; a stamp that goes back starts over."""
        if not self._period:
            return True
        self._due = self._due_at(stamp_ns)
        self._last = stamp_ns
        late = stamp_ns + self._period // TOLERANCE - self._due
        if late < 0:
            return False
        self._due += (late // self._period + 1) * self._period
        return True

    def would_take(self, stamp_ns: int) -> bool:
        """Return what ``take`` would, and change nothing."""
        return stamp_ns + self._period // TOLERANCE >= self._due_at(stamp_ns)

    def _due_at(self, stamp_ns: int) -> int:
        return stamp_ns if self._due is None or stamp_ns < self._last else self._due


def check_sample_rate(rate: float, time_source: str) -> None:
    """Refuse a sample rate that the stream cannot work with.

    Raises:
        StreamError: INVALID_REQUEST.

    """
    if not 0 <= rate < float('inf') or (time_source == 'uniform' and not rate):
        raise StreamError(ErrorCode.INVALID_REQUEST,
                          f'sample_rate is {rate} Hz; give 0 or more, and above 0 where '
                          'time_source is uniform.')
