# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Finds out whether a frame shows anything that the last stored one did not.

Both are averaged over a grid of cells, channel by channel: over a cell of 7 x 7 pixels (a frame of
448 x 448) a sensor's noise cancels, while an object of a few pixels still shifts the mean.
"""

from __future__ import annotations

import cv2
import numpy as np

CELLS = 64  # across and down
ALIKE = 6.0  # grey levels by which the mean of a cell may differ


class Thinning:
    """Leaves out frames that are nearly equal to the last stored one, for some seconds at most."""

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
