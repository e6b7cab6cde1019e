# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stamps of a source's pictures: the times of its own clock, put on the calendar once.

A camera's time of arrival jitters with the network and with what else the machine does; its own
clock does not. So the first picture of a connection is stamped with the time of day, and every
later one by what the source says has passed since.
"""

from __future__ import annotations

from streamvlm_ros.stamps import NANOSECONDS

FURTHEST = 10 * NANOSECONDS  # between a live source's stamps and the time of day


class StampClock:
    """Stamps in the order in which the pictures come. They grow strictly.

    Attributes:
        newest: the last stamp; None: none yet.
        jumps: how often the source's own clock was wrong by more than FURTHEST, so that it was
            put on the calendar again.

    """

    def __init__(self, *, is_live: bool, has_stamps: bool, start_ns: int | None) -> None:
        """Begin with a source.

        Args:
            is_live: the stamps are to stay near the time of day.
            has_stamps: its times are stamps already.
            start_ns: stamp of the first picture of one that is not live; None: the time of day.

        """
        self._is_live, self._start = is_live, start_ns
        self._offset: int | None = 0 if has_stamps else None
        self._has_stamps = has_stamps
        self.newest: int | None = None
        self.jumps = 0

    def restart(self) -> None:
        """Forget where the source's clock was: that of a new connection may be another one."""
        if not self._has_stamps:
            self._offset = None

    def stamp(self, own_ns: int | None, now_ns: int) -> int | None:
        """Return the stamp of the next picture in nanoseconds.

        Args:
            own_ns: its time on the source's clock; None: it has none, and is stamped on arrival.
            now_ns: the time of day.

        Returns:
            The stamp; None: it would not be larger than the one before, as of a bag whose stamps
            go back.

        """
        if own_ns is None:
            stamp = now_ns
        else:
            if self._offset is None:
                fixed = not self._is_live and self._start is not None and self.newest is None
                self._offset = (self._start or 0 if fixed else now_ns) - own_ns
            stamp = own_ns + self._offset
            if self._is_live and abs(stamp - now_ns) > FURTHEST:
                self.jumps += 1
                self._offset, stamp = now_ns - own_ns, now_ns
        if self.newest is not None and stamp <= self.newest:
            if not self._is_live:
                return None
            # Its clock ran ahead of the time of day before it was lost.
            stamp = self.newest + 1
        self.newest = stamp
        return stamp


class Sampler:
    """Takes the first picture at or after each point of a grid of 1 / rate seconds."""

    def __init__(self, rate: float) -> None:
        """Sample at `rate` Hz; 0 takes everything."""
        self._period = round(NANOSECONDS / rate) if rate else 0
        self._due: int | None = None

    def takes(self, stamp_ns: int) -> bool:
        """Tell whether a picture with this stamp is taken; stamps grow."""
        if not self._period:
            return True
        if self._due is None:
            self._due = stamp_ns
        # A camera that runs at the rate itself must not lose pictures to a little jitter.
        if stamp_ns < self._due - self._period // 10:
            return False
        missed = max(0, stamp_ns - self._due) // self._period
        self._due += (missed + 1) * self._period
        return True
