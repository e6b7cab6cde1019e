# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the store holds, as values: moments, poses, answers, epochs, and why it cannot."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Literal

# What the header stamps of an epoch count: the wall clock, the simulated /clock (use_sim_time), or
# another clock of ROS, such as that of a bag that is played.
StampClock = Literal['wall', 'sim', 'ros']


class StoreError(Exception):
    """The store cannot be written or read now; `str(error)` says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Pose:
    """Where the robot or its camera was.

    Attributes:
        position: x, y, z in metres.
        orientation: unit quaternion x, y, z, w.
        frame_id: of the coordinates, as the topic had it.

    """

    position: tuple[float, float, float]
    orientation: tuple[float, float, float, float]
    frame_id: str


@dataclasses.dataclass(frozen=True)
class Epoch:
    """Frames whose stamps only grow, with one clock and one time zone.

    Attributes:
        number: of the store; a later epoch has a larger one.
        stream_epoch: the number that the node or program had for it.
        clock: what the header stamps count.
        zone: name of the time zone, as 'CET'.
        utc_offset: seconds by which the zone is ahead of UTC.

    """

    number: int
    stream_epoch: int = 0
    clock: StampClock = 'wall'
    zone: str = 'UTC'
    utc_offset: int = 0

    def local_time(self, wall_ns: int) -> datetime.datetime:
        """Return a wall time, in nanoseconds since 1970 (UTC), in the zone of this epoch."""
        zone = datetime.timezone(datetime.timedelta(seconds=self.utc_offset), self.zone)
        return datetime.datetime.fromtimestamp(wall_ns / 1e9, zone)


@dataclasses.dataclass(frozen=True)
class Moment:
    """One stored frame without its pixels.

    Attributes:
        stamp_ns: its header stamp.
        wall_ns: the wall clock when it came.
        frame_id: of the camera.
        epoch: number of its epoch.
        pose: where it was taken; None: no pose was known.
        file: name of the file that has it.
        offset: in bytes, of its chunk in the file.

    """

    stamp_ns: int
    wall_ns: int
    frame_id: str
    epoch: int
    pose: Pose | None
    file: str
    offset: int


@dataclasses.dataclass(frozen=True)
class StoredAnswer:
    """An answer as it is stored: a JSON text, and which frames it saw.

    Attributes:
        text: a JSON object.
        first_ns, last_ns: stamps of the oldest and the newest frame that it saw.

    """

    text: str
    first_ns: int
    last_ns: int


@dataclasses.dataclass(frozen=True)
class Forgotten:
    """What was taken out of the store.

    Attributes:
        frames: with their poses.
        answers: that saw one of them.
        bytes: by which the store is smaller now.

    """

    frames: int
    answers: int
    bytes: int
