# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The time that a frame gets in the stream: its stamp's, or a uniform rate's."""

from __future__ import annotations

from streamvlm_ros.engine.config import StreamSettings
from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.positions import NANOSECONDS
from streamvlm_ros.engine.stream.sampling import check_sample_rate


class FrameClock:
    """Times in nanoseconds, integers so that rounding never decides a position."""

    def __init__(self, settings: StreamSettings) -> None:
        """Begin at the settings' rate."""
        self._source = settings.time_source
        self._rate = settings.sample_rate
        self.start_over()

    def start_over(self) -> None:
        """Count from 0 again; the rate stays."""
        self._since = (0, 0)  # frames and time at which the rate became what it is

    def set_rate(self, hz: float, frames: int) -> None:
        """Change the rate behind so many frames; time goes on from where it is.

        Raises:
            StreamError: INVALID_REQUEST for a rate that ``check_sample_rate`` refuses.

        """
        check_sample_rate(hz, self._source)
        if self._source == 'uniform':
            self._since = (frames, self._uniform(frames))
        self._rate = hz

    def resume(self, frames: int, time_ns: int) -> None:
        """Give the next frame, behind so many others, this time where time is uniform."""
        self._since = (frames, time_ns)

    def time_ns(self, stamp_ns: int, frames: int) -> int:
        """Return the time of the frame that comes behind so many others."""
        return self._uniform(frames) if self._source == 'uniform' else stamp_ns

    @property
    def sample_rate(self) -> float:
        """The rate, in Hz; 0: every frame."""
        return self._rate

    def rate(self) -> float:
        """Return the rate of frames that come without stamps, in Hz.

        Raises:
            StreamError: INVALID_REQUEST; there is none.

        """
        if not self._rate:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                'Frames without stamps need an fps or a sample_rate above 0.',
            )
        return self._rate

    def _uniform(self, frames: int) -> int:
        since_frames, since_ns = self._since
        return since_ns + round((frames - since_frames) * NANOSECONDS / self._rate)
