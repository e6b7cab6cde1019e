# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The frames of a video at a rate, decoded once, for clips of it that may overlap."""

from __future__ import annotations

import collections
from collections.abc import Iterator

import numpy as np

from streamvlm_ros.sources.video import Video
from streamvlm_ros.stamps import NANOSECONDS


class FrameWindow:
    """Goes through a video once, and keeps what a later clip needs again.

    Attributes:
        newest_ns: time of the last frame that was decoded, from the video's first one.
        ended: the video is at its end.

    """

    def __init__(self, video: Video, rate: float) -> None:
        """Begin at the start of an open video.

        Args:
            video: where the frames come from.
            rate: frames a second; of those between two ticks the first one is taken.

        """
        self.newest_ns, self.ended = -1, False
        self._rate, self._tick = rate, 0
        self._from_ns = self._keep_ns = 0
        self._kept: collections.deque[tuple[int, np.ndarray]] = collections.deque()
        self._place = 0  # in _kept, of the next frame
        self._source = video.frames(self._is_due)

    def begin(self, start_s: float, keep_s: float) -> None:
        """Go to a clip.

        Args:
            start_s: where it begins; not before that of the last clip.
            keep_s: frames from here on may be needed again: the start of the next clip.

        """
        self._from_ns, self._keep_ns = _nanoseconds(start_s), _nanoseconds(keep_s)
        while self._kept and self._kept[0][0] < self._from_ns:
            self._kept.popleft()
        self._place = 0

    def until(self, end_s: float) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the clip's next frames before a moment: time in nanoseconds, and RGB uint8.

        Raises:
            SourceError: as ``Video.frames``.

        """
        end_ns = _nanoseconds(end_s)
        while True:
            if self._place == len(self._kept):
                found = None if self.ended else next(self._source, None)
                if found is None:
                    self.ended = True
                    return
                self.newest_ns = found[0]
                self._kept.append(found)
            time_ns, frame = self._kept[self._place]
            if time_ns >= end_ns:
                return
            if time_ns < self._keep_ns:
                self._kept.popleft()  # nothing older is there: clips begin one behind the other
            else:
                self._place += 1
            yield time_ns, frame

    def _is_due(self, time_ns: int) -> bool:
        """Choose the frames to decode to RGB; called once for each in the order of their times."""
        tick = time_ns * self._rate / NANOSECONDS + 1e-6
        if tick < self._tick or time_ns < self._from_ns:
            return False
        self._tick = int(tick) + 1
        return True


def _nanoseconds(seconds: float) -> int:
    return round(min(seconds, 1e9) * NANOSECONDS)
