# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a store is kept."""

from __future__ import annotations

import dataclasses
import pathlib

from streamvlm_ros.errors import ErrorCode, StreamError
from streamvlm_ros.store.folder import Budget
from streamvlm_ros.store.messages import Topics

LEAST_BYTES = 1 << 24  # a store has a few files even then


@dataclasses.dataclass(frozen=True)
class StoreSettings:
    """What is stored, and how much of it.

    Attributes:
        folder: where; made if it is not there.
        jpeg_quality: 1 to 100.
        max_bytes: of all files together; the oldest ones are removed.
        max_age: seconds that a frame is kept; 0: as long as there is room.
        max_pixels: larger frames are reduced to so many; 0: none is.
        still_seconds: a frame that is nearly equal to the last stored one is stored when so many
            seconds have passed; 0: every frame is stored.
        topics: of the bag.

    Raises:
        StreamError: INVALID_REQUEST; a value is out of range.

    """

    folder: pathlib.Path
    jpeg_quality: int = 90
    max_bytes: int = 20_000_000_000
    max_age: float = 0.0
    max_pixels: int = 0
    still_seconds: float = 5.0
    topics: Topics = dataclasses.field(default_factory=Topics)

    def __post_init__(self) -> None:
        for name, least, most in (
            ('jpeg_quality', 1, 100),
            ('max_bytes', LEAST_BYTES, 1 << 60),
            ('max_age', 0, 1 << 40),
            ('max_pixels', 0, 1 << 40),
            ('still_seconds', 0, 1 << 40),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise StreamError(
                    ErrorCode.INVALID_REQUEST,
                    f'The {name} of the store is {value}; give {least} to {most}.',
                )

    @property
    def budget(self) -> Budget:
        """How much is kept."""
        return Budget(self.max_bytes, self.max_age)
