# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which of a camera's frames are taken: so many a second, on a grid of times."""

from __future__ import annotations

from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.positions import NANOSECONDS

# Of sample_rate, unless it is 0: a frame in 17 minutes.
LOWEST_RATE = 0.001
# A camera that runs at the sample rate itself loses no frame where its stamps are off by 15 ms
# either way, the first frame's too, by which the grid is laid; and 2 ms are for rounding.
JITTER_NS = 32_000_000


class StampSampler:
    """Takes frames on a grid of times that is anchored at the first one.

    The order of the times does not matter: an old one is left out and leaves the grid as it is.
    """

    def __init__(self, rate: float) -> None:
        """Take ``rate`` frames a second; 0 takes all."""
        period = self._period = round(NANOSECONDS / rate) if rate else 0
        # A frame may be so early for its place; and where it is later than all but a twentieth of
        # a period, it has the next place too.
        self._early = max(period // 10, min(JITTER_NS, period * 19 // 20))
        self._due: int | None = None

    def take(self, time_ns: int) -> bool:
        """Return whether a frame is taken."""
        if not self.would_take(time_ns):
            return False
        if self._period:
            due = time_ns if self._due is None else self._due
            places = (time_ns - due + self._period // 20) // self._period + 1
            self._due = due + max(1, places) * self._period
        return True

    def would_take(self, time_ns: int) -> bool:
        """Return what ``take`` would, and change nothing."""
        return self._due is None or time_ns >= self._due - self._early


def check_sample_rate(rate: float, time_source: str) -> None:
    """Refuse a sample rate that the stream cannot work with.

    Raises:
        StreamError: INVALID_REQUEST.

    """
    if not (rate == 0 or LOWEST_RATE <= rate < float('inf')):
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            f'sample_rate is {rate} Hz; give 0 (every frame) or at least {LOWEST_RATE} Hz.',
        )
    if time_source == 'uniform' and not rate:
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            'sample_rate is 0 Hz, and time_source uniform needs it above 0: frames '
            'are 1 / sample_rate seconds apart. To take every frame set '
            'every_frame.',
        )
