# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How many of a camera's images arrive, and how many are lost on the way. No ROS here.

A middleware drops images silently. Three sources show it: the numbers that a publisher gives
its messages, the middleware's own count of lost messages, and gaps in the header stamps.
"""

from __future__ import annotations

import collections
import dataclasses
import statistics

WINDOW = 10.0  # seconds that `Losses` is about; a longer gap is a camera that has stopped
MOST_LOST = 0.05  # share of the images; less is what a network does
LEAST_LOST = 3  # images in the window: one or two say nothing
INTERVALS = 32  # between stamps, the newest: their median is the camera's period
FEWEST_INTERVALS = 8
# Intervals that are more than jitter: in periods of a regular camera, else in mean intervals.
GAP, WILD_GAP = 1.75, 4.0
ALIKE = 0.25  # of a period: two intervals that differ by less are alike
MOST_MULTIPLE = 4  # periods; above, a multiple cannot be distinguished from any other interval
MOST_FITTING = 0.8  # share of the intervals that are multiples of the period, on a beat
MOST_PUBLISHERS = 64  # whose numbers are remembered


@dataclasses.dataclass(frozen=True)
class Losses:
    """What came and what was lost in the last seconds.

    Attributes:
        seconds: that this is about.
        received: images that arrived.
        lost: images that were published and did not arrive.
        missing: images that the header stamps miss besides those, about.
        longest_gap: longest interval between two stamps that is a gap, in seconds; 0: no gap.
        period: usual interval between two stamps, in seconds.
        total: images lost since counting began.

    """

    seconds: float = 0.0
    received: int = 0
    lost: int = 0
    missing: int = 0
    longest_gap: float = 0.0
    period: float = 0.0
    total: int = 0

    @property
    def is_losing(self) -> bool:
        """Whether more is lost on the way than a network loses now and then."""
        return _is_much(self.lost, self.received)

    @property
    def has_gaps(self) -> bool:
        """Whether more stamps are missing than a camera leaves out now and then."""
        return _is_much(self.missing, self.received + self.lost)

    @property
    def rates(self) -> tuple[float, float]:
        """Images a second that arrived, and that were published."""
        seconds = max(self.seconds, 1e-9)
        return self.received / seconds, (self.received + self.lost) / seconds


NO_LOSSES = Losses()


def _is_much(lost: int, others: int) -> bool:
    return lost >= LEAST_LOST and lost > MOST_LOST * (lost + others)


class Arrivals:
    """Counts the images of one subscription. One thread at a time may call it."""

    def __init__(self, now: float, *, has_stamps: bool) -> None:
        """Count from now on.

        Args:
            now: seconds on a steady clock.
            has_stamps: the header stamps mean something.

        """
        self._received = self._missing = self._base = 0
        self._gaps_in_numbers = self._told = 0
        self._numbers: dict[bytes, int] = {}
        self._has_stamps, self._newest = has_stamps, 0
        self._intervals: collections.deque[int] = collections.deque(maxlen=INTERVALS)
        self._gaps: collections.deque[tuple[float, float]] = collections.deque()
        self._looks = collections.deque([(now, 0, 0, 0)])

    def take(self, stamp_ns: int, number: int | None, publisher: bytes, now: float) -> None:
        """Count an image.

        Args:
            stamp_ns: its header stamp.
            number: given by its publisher; None: the middleware has no such numbers.
            publisher: which one that is.
            now: seconds on the steady clock.

        """
        self._received += 1
        lost = 0 if number is None else self._missed_numbers(number, publisher)
        self._gaps_in_numbers += lost
        if self._has_stamps:
            self._missing += max(0, self._missed_stamps(stamp_ns, now) - lost)

    def tell_lost(self, total: int) -> None:
        """Take the middleware's count of messages that this subscription has lost."""
        self._told = max(self._told, total)

    def forget_numbers(self) -> None:
        """Forget the numbers of messages, because the publishers have changed."""
        self._numbers.clear()

    def restart(self) -> None:
        """Continue with a new subscription, whose middleware counts from 0.

        What was published before it is not missing: the node did not listen.
        """
        self._newest = 0
        self._base, self._told, self._gaps_in_numbers = self._lost, 0, 0
        self._numbers.clear()
        self._looks.clear()

    def look(self, now: float) -> Losses:
        """Return what came and what was lost up to now; call it about once a second."""
        lost = self._lost
        if not self._looks:
            self._looks.append((now, self._received, lost, self._missing))
        while len(self._looks) > 1 and self._looks[1][0] <= now - WINDOW:
            self._looks.popleft()
        while self._gaps and self._gaps[0][0] < now - WINDOW:
            self._gaps.popleft()
        then, received, lost_then, missing = self._looks[0]
        self._looks.append((now, self._received, lost, self._missing))
        return Losses(
            seconds=now - then,
            received=self._received - received,
            lost=lost - lost_then,
            missing=self._missing - missing,
            longest_gap=max((gap for _, gap in self._gaps), default=0.0),
            period=self._period() / 1e9,
            total=lost,
        )

    @property
    def _lost(self) -> int:
        # Both count the same losses, and each misses some: the middleware those that it drops
        # itself, the numbers those before the first one and after the last.
        return self._base + max(self._gaps_in_numbers, self._told)

    def _missed_numbers(self, number: int, publisher: bytes) -> int:
        before = self._numbers.get(publisher)
        if len(self._numbers) >= MOST_PUBLISHERS:
            self._numbers.clear()
        self._numbers[publisher] = number
        # The first number says nothing, and a number that went back is a new start.
        return 0 if before is None else max(0, number - before - 1)

    def _missed_stamps(self, stamp_ns: int, now: float) -> int:
        """Return how many stamps are missing between this one and the newest before it."""
        interval, period = stamp_ns - self._newest, self._period()
        if not self._newest or interval < 0 or interval > WINDOW * 1e9:
            self._newest = stamp_ns
            return 0
        if not interval:
            return 0
        self._newest = stamp_ns
        self._intervals.append(interval)
        if not period:
            return 0
        if self._is_regular(period):
            longest = GAP * period
        else:
            period = statistics.mean(self._intervals)
            longest = WILD_GAP * period
        if interval <= longest:
            return 0
        self._gaps.append((now, interval / 1e9))
        return round(interval / period) - 1

    def _is_regular(self, period: float) -> bool:
        """Tell whether a regular camera's images are missing, rather than coming in bursts."""
        multiples = [interval / period for interval in self._intervals]
        fitting = [m for m in multiples if m < MOST_MULTIPLE and abs(m - round(m)) <= ALIKE]
        single = sum(m < 1 + ALIKE for m in fitting)
        return 2 * single >= len(multiples) and len(fitting) >= MOST_FITTING * len(multiples)

    def _period(self) -> float:
        """Return the usual interval in nanoseconds; 0: too few are known."""
        if len(self._intervals) < FEWEST_INTERVALS:
            return 0.0
        return statistics.median_low(self._intervals)
