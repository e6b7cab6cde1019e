# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a frame's stamp says, next to the newest one: goes on, late, a new start, or a doubt.

Real cameras repeat stamps, swap two of them, and now and then send one from 1970 or 2038.
"""

from __future__ import annotations

import dataclasses
import enum
import math

import numpy as np

from streamvlm_ros.engine.config import StreamSettings
from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.positions import NANOSECONDS

LAST_STAMP = 2**31 * NANOSECONDS - 1  # the seconds of a ROS time are an int32
GAP_PERIODS = 10  # of the sample rate, that a gap may always have

Stamp = int | float


class Verdict(enum.Enum):
    """What a stamp says.

    - ``GOES_ON``: it is at or after the newest; or there is none yet.
    - ``LATE``: it is a little older than the newest: the frame is left out.
    - ``BACK``: it is older by more than that: a new epoch begins.
    - ``AHEAD``: it is so far ahead that it may be wrong: a second one must confirm it.
    - ``CONFIRMS``: it is near the one that was ahead, which is right then.
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


def seconds(time_ns: int) -> str:
    """Return a time in seconds, as a sentence has it, however large it is."""
    if abs(time_ns) > 10**27:  # beyond what Python turns into a float, or a text
        return 'less than -10**18 s' if time_ns < 0 else 'more than 10**18 s'
    return f'{time_ns / NANOSECONDS:.10g} s'


def to_nanoseconds(stamp: Stamp, *, clip: bool = False) -> int:
    """Return integer nanoseconds for integer nanoseconds or float seconds.

    Args:
        stamp: NumPy's numbers are taken too.
        clip: make the nearest time that a ROS stamp can have of what it cannot have.

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
            f'A stamp of {seconds(time_ns)} is not a time that ROS can tell: '
            'give one from 0 to 2**31 s (the year 2038).',
        )
    return time_ns
