# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What becomes of a frame and of an answer when their turn comes: thinned, encoded, written."""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import math
import time

import cv2
import numpy as np

from streamvlm_ros.store.folder import StoreFolder
from streamvlm_ros.store.moments import Epoch, StampClock, StoredAnswer, StoreError
from streamvlm_ros.store.poses import PoseSource
from streamvlm_ros.store.settings import StoreSettings

POSE_PATIENCE = 0.4  # seconds that a frame waits for the pose after it
CELLS = 64  # across and down, in which frames are compared
ALIKE = 6.0  # grey levels by which the mean of a cell may differ
NEAR = 3600.0  # seconds between a stamp and the wall clock in an epoch of that clock


@dataclasses.dataclass
class WaitingFrame:
    """A frame that waits; `arrived` is on the monotonic clock."""

    image: np.ndarray
    stamp_ns: int
    frame_id: str
    stream_epoch: int
    wall_ns: int
    arrived: float


@dataclasses.dataclass
class WaitingAnswer:
    """An answer that waits, with the epoch of the stream that it is about."""

    answer: StoredAnswer
    stream_epoch: int
    wall_ns: int


class Thinning:
    """Leaves out frames that are nearly equal to the last stored one, for some seconds at most.

    Both are averaged over a grid of cells, channel by channel: over a cell of 7 x 7 pixels (a
    frame of 448 x 448) a sensor's noise cancels, while an object of a few pixels still shifts the
    mean.
    """

    def __init__(self, seconds: float) -> None:
        """Store a still scene every `seconds`; 0: every frame."""
        self._seconds = seconds
        self._cells: np.ndarray | None = None
        self._size: tuple[int, ...] = ()
        self._stamp_ns = 0

    def is_still(self, image: np.ndarray, stamp_ns: int) -> bool:
        """Tell whether a frame can be left out; one that cannot becomes the last stored one.

        Args:
            image: RGB uint8 [h, w, 3].
            stamp_ns: its stamp.

        """
        if not self._seconds:
            return False
        # No reduction by more than it has: a small picture is compared pixel by pixel.
        size = min(CELLS, image.shape[1]), min(CELLS, image.shape[0])
        cells = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.int16)
        age = stamp_ns - self._stamp_ns
        if (
            self._cells is not None
            and self._size == image.shape
            and 0 <= age < self._seconds * 1e9
            and int(np.abs(cells - self._cells).max()) <= ALIKE
        ):
            return True
        self._cells, self._size, self._stamp_ns = cells, image.shape, stamp_ns
        return False

    def start_over(self) -> None:
        """Store the next frame whatever it shows."""
        self._cells = None


class Writing:
    """Writes into a folder, in one thread; raises as `StoreFolder`.

    Attributes:
        folder: where.

    """

    def __init__(
        self,
        settings: StoreSettings,
        poses: PoseSource | None,
        is_simulated: Callable[[], bool],
    ) -> None:
        """Write nothing yet; see `Recorder`."""
        self.folder = StoreFolder(settings.folder, settings.topics, settings.budget)
        self._settings, self._poses, self._is_simulated = settings, poses, is_simulated
        self._thinning = Thinning(settings.still_seconds)
        self._epoch = Epoch(0, -1)

    def open(self) -> None:
        """Open the folder; what is written now is of a new epoch."""
        self.folder.open()
        self._epoch = Epoch(0, -1)

    def patience(self, frame: WaitingFrame) -> float:
        """Return how many seconds a frame may still wait for the pose after it."""
        poses = self._poses
        if poses is None or poses.covers(frame.stamp_ns, frame.frame_id):
            return 0.0
        return frame.arrived + POSE_PATIENCE - time.monotonic()

    def write_frame(self, frame: WaitingFrame) -> bool:
        """Write a frame, unless it shows nothing new; return whether it was written."""
        if self._thinning.is_still(frame.image, frame.stamp_ns):
            return False
        self.folder.write_frame(
            frame.stamp_ns,
            frame.wall_ns,
            frame.frame_id,
            self._jpeg(frame.image),
            self._epoch_of(frame.stream_epoch, frame.stamp_ns),
            self._poses.at(frame.stamp_ns, frame.frame_id) if self._poses else None,
        )
        return True

    def write_answer(self, waiting: WaitingAnswer) -> None:
        """Write an answer."""
        epoch = self._epoch_of(waiting.stream_epoch, waiting.answer.last_ns)
        self.folder.write_answer(waiting.answer, waiting.wall_ns, epoch)

    def start_over(self) -> None:
        """Store the next frame whatever it shows: the one before it is not in the store."""
        self._thinning.start_over()

    def _epoch_of(self, stream_epoch: int, stamp_ns: int) -> Epoch:
        """Return the store's epoch; a new one if stream, clock or zone are not as before."""
        zone = time.localtime()
        known, clock = self._epoch, self._clock(stream_epoch, stamp_ns)
        wanted = (stream_epoch, clock, zone.tm_zone, zone.tm_gmtoff)
        if wanted != (known.stream_epoch, known.clock, known.zone, known.utc_offset):
            self._epoch = self.folder.begin_epoch(Epoch(0, *wanted))
        return self._epoch

    def _clock(self, stream_epoch: int, stamp_ns: int) -> StampClock:
        if self._is_simulated():
            return 'sim'
        if stream_epoch == self._epoch.stream_epoch and self._epoch.clock != 'sim':
            return self._epoch.clock  # it does not change within the epoch of a stream
        return 'wall' if abs(stamp_ns / 1e9 - time.time()) < NEAR else 'ros'

    def _jpeg(self, image: np.ndarray) -> bytes:
        most, pixels = self._settings.max_pixels, image.shape[0] * image.shape[1]
        if most and pixels > most:
            scale = math.sqrt(most / pixels)
            size = max(1, int(image.shape[1] * scale)), max(1, int(image.shape[0] * scale))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        flags = [cv2.IMWRITE_JPEG_QUALITY, self._settings.jpeg_quality]
        written, data = cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)
        if not written:
            raise StoreError(f'A frame of {image.shape[1]} x {image.shape[0]} is no JPEG.')
        return data.tobytes()
