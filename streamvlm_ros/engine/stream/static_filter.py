# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Decides whether a temporal patch shows anything that the last kept one did not.

The measure sees what the ViT sees: pixels after the model's own resizing.  They are averaged over
cells of half a ViT patch (7 x 7 pixels), channel by channel.  Over 49 pixels a sensor's noise and
a codec's ringing cancel, while an object of a few pixels still shifts the mean.  A change of
colour at the same brightness shows in the channels.  The absolute differences of the means are
then averaged over blocks of 2 x 2 cells.  A block has the size of a ViT patch, and blocks overlap
by half, so that a change on a border is not missed.  The largest block counts: a small object that
moves is not averaged away by a large picture that does not.

With independent Gaussian noise of s grey levels a pixel, the largest block comes to about s / 3,
and to less where the camera's picture was reduced.  A square of n x n pixels (n up to 8) and
contrast c that appears or disappears makes at least c n^2 / 196.

After ``LONGEST`` a patch is kept even if it is still, so that the newest patch in the memory is
never older than that.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses

import torch
from torch.nn import functional

from streamvlm_ros.engine.models.preprocessing import ImageProcessorConfig
from streamvlm_ros.engine.stream.frames import Frame, pixel_values
from streamvlm_ros.stamps import NANOSECONDS

LONGEST = 600 * NANOSECONDS  # ten minutes in the video's time


@dataclasses.dataclass(frozen=True)
class Signature:
    """What a temporal patch is compared by.

    Attributes:
        time_ns: its first frame's time in the video.
        size: height and width of its frames before resizing.
        cells: mean grey levels, float32 [frames, 3, rows, columns].

    """

    time_ns: int
    size: tuple[int, int]
    cells: torch.Tensor


def signature(
    frames: Sequence[Frame], pixels: ImageProcessorConfig, device: torch.device
) -> Signature:
    """Return the signature of a temporal patch's frames, all of one size."""
    cells = functional.avg_pool2d(pixel_values(frames, pixels, device), pixels.patch_size // 2)
    return Signature(frames[0].time_ns, frames[0].size, cells)


def difference(one: Signature, other: Signature) -> float:
    """Return the largest mean absolute difference of any block, in grey levels.

    The frames are compared in their order: first with first, last with last.  Frames of another
    size before resizing begin a new vision segment; they differ infinitely.
    """
    if one.size != other.size:
        return float('inf')
    change = (one.cells.to(other.cells.device) - other.cells).abs().mean(1, keepdim=True)
    return float(functional.avg_pool2d(change, 2, stride=1).max())


@dataclasses.dataclass(frozen=True)
class Look:
    """The result for one temporal patch: whether it is still, and its signature."""

    still: bool
    seen: Signature | None = None


class StaticFilter:
    """Leaves out temporal patches that show nothing new.

    A patch is compared with the last one that was kept, not with the one before it, so that slow
    drift adds up until it shows.

    Attributes:
        kept: the last kept patch; None: the next one is always kept.
        skipped: patches left out.

    """

    def __init__(
        self, pixels: ImageProcessorConfig, threshold: float, device: torch.device
    ) -> None:
        """Leave out what differs by at most ``threshold`` grey levels; 0 keeps everything."""
        self._pixels = pixels
        self._threshold = threshold
        self._device = device
        self.kept: Signature | None = None
        self.skipped = 0

    def look(self, patch: Sequence[Frame]) -> Look:
        """Compare a temporal patch with the last kept one; change nothing."""
        if not self._threshold:
            return Look(still=False)
        seen = signature(patch, self._pixels, self._device)
        kept = self.kept
        if kept is None or seen.time_ns - kept.time_ns >= LONGEST:
            return Look(still=False, seen=seen)
        return Look(difference(kept, seen) <= self._threshold, seen)

    def any_still(self, frames: Sequence[Frame]) -> bool:
        """Predict whether any temporal patch of frames will be left out; change nothing."""
        kept, temporal = self.kept, self._pixels.temporal_patch_size
        for start in range(0, len(frames) if self._threshold else 0, temporal):
            seen = signature(frames[start : start + temporal], self._pixels, self._device)
            if kept is not None and difference(kept, seen) <= self._threshold:
                return True
            kept = seen
        return False

    def commit(self, look: Look) -> None:
        """Remember a patch that is kept, or count one that is left out."""
        if look.still:
            self.skipped += 1
        else:
            self.kept = look.seen
