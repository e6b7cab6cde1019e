# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""When frames were taken: stamps are judged, sampled, and become the stream's time.

Real cameras repeat stamps, swap two of them, and sometimes send one from 1970 or 2038.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import enum
import math

import numpy as np

from streamvlm_ros import checks
from streamvlm_ros.engine.config import check_sample_rate, StreamSettings
from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.stamps import LAST_STAMP, NANOSECONDS

GAP_PERIODS = 10  # of the sample rate, that a gap may always have
# A camera that runs at the sample rate loses no frame if its stamps are off by up to 15 ms either
# way, the stamp of the first frame included, which anchors the grid; 2 ms are for rounding.
JITTER_NS = 32_000_000

Stamp = int | float


class Verdict(enum.Enum):
    """What a stamp says.

    - ``GOES_ON``: it is at or after the newest, or there is no other yet.
    - ``LATE``: it is a little older than the newest: the frame is left out.
    - ``BACK``: it is older by more than that: a new epoch begins.
    - ``AHEAD``: it is so far ahead that it may be wrong: a second one must confirm it.
    - ``CONFIRMS``: it is near the one that was ahead, so that one was right.
    """

    GOES_ON = 'goes on'
    LATE = 'late'
    BACK = 'back'
    AHEAD = 'ahead'
    CONFIRMS = 'confirms'


@dataclasses.dataclass(frozen=True)
class StampRule:
    """Judges stamps; all in nanoseconds.

    Attributes:
        late_ns: how much older than the newest a late stamp may be.
        gap_ns: how far ahead of the newest a stamp is believed.

    """

    late_ns: int
    gap_ns: int

    @classmethod
    def of(cls, settings: StreamSettings, sample_rate: float) -> StampRule:
        """Return a stream's rule at a sample rate, in Hz."""
        periods = GAP_PERIODS / sample_rate if sample_rate else 0.0
        return cls(
            round(settings.late_tolerance * NANOSECONDS),
            round(max(settings.max_gap, periods) * NANOSECONDS),
        )

    def judge(self, stamp_ns: int, newest: int | None, doubtful: int | None = None) -> Verdict:
        """Return what a stamp says.

        Args:
            stamp_ns: the stamp.
            newest: the largest that was accepted in this epoch; None: none yet.
            doubtful: the one that was ``AHEAD`` and not confirmed yet; None: none.

        """
        if newest is None or 0 <= stamp_ns - newest <= self.gap_ns:
            return Verdict.GOES_ON
        if stamp_ns < newest:
            return Verdict.LATE if newest - stamp_ns <= self.late_ns else Verdict.BACK
        if doubtful is not None and -self.late_ns <= stamp_ns - doubtful <= self.gap_ns:
            return Verdict.CONFIRMS
        return Verdict.AHEAD

    def too_far(self, stamp_ns: int, newest: int) -> str:
        """Return in words how far ahead a stamp is, and of what."""
        return (
            f'stamped {seconds(stamp_ns - newest)} after the newest one, more than max_gap '
            f'allows ({seconds(self.gap_ns)})'
        )

    def ahead(self, stamp_ns: int, newest: int) -> StreamError:
        """Return the refusal of a frame that is ``AHEAD``."""
        return StreamError(
            ErrorCode.INVALID_REQUEST,
            f'The frame is {self.too_far(stamp_ns, newest)}; if that is right, '
            'give it again, or the next one.',
        )


class StampJudge:
    """Judges the stamps of frames that a program hands in itself, one after the other.

    Attributes:
        doubtful: a stamp that was too far ahead, in nanoseconds; None: the last one was not.
        late_frames: frames left out because they were late.

    """

    def __init__(self, settings: StreamSettings, clock: FrameClock) -> None:
        """Judge by a stream's settings, and by the sample rate of its clock."""
        self._settings, self._clock = settings, clock
        self._uniform = settings.time_source == 'uniform'
        self.late_frames = 0
        self.start_over()

    def start_over(self) -> None:
        """Forget the stamp that was too far ahead."""
        self.doubtful: int | None = None

    def stamp_ns(self, stamp: Stamp) -> int:
        """Return a stamp in nanoseconds; if time is uniform, the nearest that can be told.

        Raises:
            StreamError: as ``to_nanoseconds``.

        """
        return to_nanoseconds(stamp, clip=self._uniform)

    def following(
        self, newest: int | None, frames: int = 1, fps: float | None = None
    ) -> list[int]:
        """Return the times of frames that come without stamps, in nanoseconds.

        Args:
            newest: stamp of the stream's newest frame; None: they begin at 0.
            frames: how many they are.
            fps: their rate; None: the stream's.

        Raises:
            StreamError: INVALID_REQUEST; the stream has no rate.

        """

        def after(periods: int) -> int:
            return round(periods * NANOSECONDS / (fps or self._clock.rate())) if periods else 0

        first = 0 if newest is None else newest + after(1)
        return [self.stamp_ns(first + after(i)) for i in range(frames)]

    def judge(self, stamps: Sequence[int], newest: int | None) -> list[Verdict]:
        """Return what stamps say that come one after the other.

        Args:
            stamps: in nanoseconds.
            newest: stamp of the stream's newest frame; None: it has none.

        Raises:
            StreamError: INVALID_REQUEST; one is too far ahead, and the next one is not near it.

        """
        if self._uniform:
            return [Verdict.GOES_ON] * len(stamps)
        rule = StampRule.of(self._settings, self._clock.sample_rate)
        doubtful = self.doubtful
        verdicts = []
        for i, stamp in enumerate(stamps):
            verdict = rule.judge(stamp, newest, doubtful)
            if verdict is Verdict.AHEAD:
                assert newest is not None
                self.doubtful = stamp
                if not any(
                    rule.judge(following, newest, stamp) is Verdict.CONFIRMS
                    for following in stamps[i + 1 : i + 2]
                ):
                    raise rule.ahead(stamp, newest)
            if verdict is not Verdict.LATE:
                newest = stamp
            doubtful = None
            verdicts.append(verdict)
        self.doubtful = None
        return verdicts


class StampSampler:
    """Takes frames on a grid of times that is anchored at the first one.

    Times may come out of order: an old one is left out, and the grid stays as it is.
    """

    def __init__(self, rate: float) -> None:
        """Take ``rate`` frames a second; 0 takes all."""
        period = self._period = round(NANOSECONDS / rate) if rate else 0
        # A frame may come this much before its time on the grid.  One that comes in the last
        # twentieth of a period takes the next place of the grid as well.
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
        """Return what ``take`` would return, and change nothing."""
        return self._due is None or time_ns >= self._due - self._early


class FrameClock:
    """The time that a frame gets in the stream: its stamp's, or a uniform rate's.

    All times are integer nanoseconds, so that rounding never decides a position.

    Attributes:
        sample_rate: in Hz; 0: every frame.
        since: frames and time at which the rate became what it is.

    """

    def __init__(self, settings: StreamSettings) -> None:
        """Begin at the settings' rate."""
        self._source = settings.time_source
        self.sample_rate = settings.sample_rate
        self.start_over()

    def start_over(self) -> None:
        """Count from 0 again; the rate stays."""
        self.since = (0, 0)

    def set_rate(self, hz: float, frames: int) -> None:
        """Change the rate after ``frames`` frames; time continues without a jump.

        Raises:
            StreamError: INVALID_REQUEST for a rate that ``check_sample_rate`` refuses.

        """
        check_sample_rate(hz, self._source)
        hz = float(hz)
        if self._source == 'uniform':
            self.since = (frames, self._uniform(frames))
        self.sample_rate = hz

    def resume(self, frames: int, time_ns: int) -> None:
        """If time is uniform, give the next frame, after ``frames`` others, this time."""
        self.since = (frames, time_ns)

    def time_ns(self, stamp_ns: int, frames: int) -> int:
        """Return the time of the frame that comes after ``frames`` others."""
        return self._uniform(frames) if self._source == 'uniform' else stamp_ns

    def rate(self) -> float:
        """Return the rate of frames that come without stamps, in Hz.

        Raises:
            StreamError: INVALID_REQUEST; there is none.

        """
        if not self.sample_rate:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                'Frames without stamps need an fps or a sample_rate above 0.',
            )
        return self.sample_rate

    def _uniform(self, frames: int) -> int:
        since_frames, since_ns = self.since
        return since_ns + round((frames - since_frames) * NANOSECONDS / self.sample_rate)


def stamp_of(stamp_ns: int | None, stamp: float | None) -> Stamp | None:
    """Return the one of two ways to give a time that was given, as ``to_nanoseconds`` tells them.

    Args:
        stamp_ns: integer nanoseconds.
        stamp: seconds, also whole ones.

    Raises:
        StreamError: INVALID_REQUEST for both, and for nanoseconds that are no integers.

    """
    if stamp is None and stamp_ns is None:
        return None
    if stamp is not None and stamp_ns is not None:
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            'Both stamp and stamp_ns were given; give one: seconds, or integer nanoseconds.',
        )
    if stamp is not None:
        return checks.number('stamp', stamp)
    if isinstance(stamp_ns, (float, np.floating)):
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            f'stamp_ns is {stamp_ns!r}; give integer nanoseconds, or seconds as stamp.',
        )
    return checks.integer('stamp_ns', stamp_ns)


def to_nanoseconds(stamp: Stamp, *, clip: bool = False) -> int:
    """Return integer nanoseconds for integer nanoseconds or float seconds.

    Args:
        stamp: NumPy's numbers are taken too.
        clip: return the nearest time that a ROS stamp can have for one that it cannot have.

    Raises:
        StreamError: INVALID_REQUEST for what is not a finite number, and without ``clip`` for a
            time below 0, or from 2**31 s on.

    """
    if isinstance(stamp, (float, np.floating)):
        nanoseconds = float(stamp) * NANOSECONDS
        if not math.isfinite(nanoseconds):
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'The stamp {stamp} is not a time; give a finite number.',
            )
        time_ns = round(nanoseconds)
    elif isinstance(stamp, (int, np.integer)) and not isinstance(stamp, bool):
        time_ns = int(stamp)
    else:
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            f'A stamp of type {type(stamp).__name__} is not a time; give integer '
            'nanoseconds or float seconds.',
        )
    if clip:
        return min(max(time_ns, 0), LAST_STAMP)
    if not 0 <= time_ns <= LAST_STAMP:
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            f'A stamp of {seconds(time_ns)} is not a time that ROS can express: '
            'give one from 0 to 2**31 s (the year 2038).',
        )
    return time_ns


def seconds(time_ns: int) -> str:
    """Return a time in seconds for a sentence, however large it is."""
    if abs(time_ns) > 10**27:  # beyond what Python turns into a float, or a text
        return 'less than -10**18 s' if time_ns < 0 else 'more than 10**18 s'
    return f'{time_ns / NANOSECONDS:.10g} s'
