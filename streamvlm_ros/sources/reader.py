# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What every kind of source does for `Source`, which gives it a buffer and stamps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from streamvlm_ros.sources.video import Picture

# Called once for each picture in order, before it is converted, with its time: nanoseconds on the
# source's own clock, or None where it has none. False: it is not to be yielded.
Wanted = Callable[[int | None], bool]


class Reader(Protocol):
    """One connection to a source; used by one thread.

    Attributes:
        is_live: it is a camera, which is gone for a while when the connection ends.
        has_stamps: its times are stamps since 1970, as a bag's are.
        broken: pictures that could not be decoded.
        fault: what was wrong with the last of them, or why the source ended early.

    """

    is_live: bool
    has_stamps: bool

    @property
    def broken(self) -> int:
        """Pictures that could not be decoded so far."""

    @property
    def fault(self) -> str:
        """What was wrong with the last of them, or why the source has ended early; ''."""

    def frames(self, wanted: Wanted) -> Iterator[Picture]:
        """Yield the pictures that are wanted: RGB uint8 [height, width, 3].

        Raises:
            SourceError: the connection was lost, or nothing came in time.

        """

    def close(self) -> None:
        """Close file, device or connection. May be called again."""
