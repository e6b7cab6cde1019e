# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Poses of a topic, and the one at a frame's stamp: interpolated between its two neighbours."""

from __future__ import annotations

import bisect
import collections
import math
import threading
from typing import Protocol

from streamvlm_ros.stamps import NANOSECONDS
from streamvlm_ros.store.moments import Pose

LONGEST_GAP = NANOSECONDS  # between two poses that are interpolated
MOST = 4096  # poses that are remembered
KEPT = 30 * NANOSECONDS
_PARALLEL = 0.9995  # cosine above which an arc is taken as a line, for 1 / sin grows without bound

Quaternion = tuple[float, float, float, float]


class PoseSource(Protocol):
    """Where poses come from."""

    def at(self, stamp_ns: int, frame_id: str) -> Pose | None:
        """Return the pose of a camera's frame at a stamp; None: it is not known."""

    def covers(self, stamp_ns: int, frame_id: str) -> bool:
        """Tell whether waiting would tell no more about this stamp."""


class PoseTrack:
    """The newest poses of a topic; any thread may add and ask."""

    def __init__(self) -> None:
        """Begin without a pose."""
        self._lock = threading.Lock()
        self._known: collections.deque[tuple[int, Pose]] = collections.deque(maxlen=MOST)

    def add(self, stamp_ns: int, pose: Pose) -> None:
        """Remember a pose; one that is older than the newest begins anew, if not just late."""
        length = math.hypot(*pose.orientation)
        if not length or not all(map(math.isfinite, (*pose.position, length))):
            return  # no pose; drivers send it before they know one
        known = self._known
        with self._lock:
            if known and stamp_ns <= known[-1][0]:
                if known[-1][0] - stamp_ns <= LONGEST_GAP:
                    return
                known.clear()
            known.append((stamp_ns, pose))
            while known[0][0] < stamp_ns - KEPT:
                known.popleft()

    def covers(self, stamp_ns: int, frame_id: str = '') -> bool:
        """Tell whether a pose after this stamp is known, or none would help."""
        with self._lock:
            known = self._known
            return not known or known[-1][0] >= stamp_ns or stamp_ns - known[-1][0] > LONGEST_GAP

    def at(self, stamp_ns: int, frame_id: str = '') -> Pose | None:
        """Return the pose at a stamp; the topic has the same one for every camera.

        Returns:
            None before the first and after the last pose, in a gap of more than a second, and
            between poses of different frames.

        """
        with self._lock:
            known = list(self._known)
        after = bisect.bisect_left(known, stamp_ns, key=lambda each: each[0])
        if after == len(known):
            return None
        end_ns, end = known[after]
        if end_ns == stamp_ns:
            return end
        if not after:
            return None
        start_ns, start = known[after - 1]
        if end_ns - start_ns > LONGEST_GAP or start.frame_id != end.frame_id:
            return None
        return between(start, end, (stamp_ns - start_ns) / (end_ns - start_ns))


def between(start: Pose, end: Pose, part: float) -> Pose:
    """Return the pose that is a part of the way from one to another.

    The position goes along a line, the orientation along the shorter arc at a constant speed
    (slerp: Shoemake, Animating Rotation with Quaternion Curves, SIGGRAPH 1985).
    """
    x, y, z = (a + part * (b - a) for a, b in zip(start.position, end.position))
    orientation = _slerp(start.orientation, end.orientation, part)
    return Pose((x, y, z), orientation, start.frame_id)


def _slerp(start: Quaternion, end: Quaternion, part: float) -> Quaternion:
    one, other = _normalized(start), _normalized(end)
    cosine = sum(a * b for a, b in zip(one, other))
    # q and -q are the same rotation; the nearer one is taken.
    sign, cosine = math.copysign(1.0, cosine), abs(cosine)
    if cosine > _PARALLEL:
        weights = 1.0 - part, part
    else:
        angle = math.acos(min(cosine, 1.0))
        weights = math.sin((1.0 - part) * angle), math.sin(part * angle)
    x, y, z, w = (weights[0] * a + sign * weights[1] * b for a, b in zip(one, other))
    return _normalized((x, y, z, w))


def _normalized(quaternion: Quaternion) -> Quaternion:
    """Return a unit quaternion; one that is no rotation, such as 0 0 0 0, becomes none."""
    length = math.hypot(*quaternion)
    if not (math.isfinite(length) and length > 0):
        return 0.0, 0.0, 0.0, 1.0
    x, y, z, w = (each / length for each in quaternion)
    return x, y, z, w
