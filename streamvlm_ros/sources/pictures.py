# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A folder of pictures, in the order of their names."""

from __future__ import annotations

from collections.abc import Iterator
import dataclasses
import pathlib
import re

import cv2
import numpy as np

from streamvlm_ros.errors import SourceError
from streamvlm_ros.nodes.images.compressed import decode_compressed
from streamvlm_ros.nodes.images.images import ImageError
from streamvlm_ros.sources.reader import Wanted
from streamvlm_ros.sources.video import MOST_PIXELS, Picture, reason
from streamvlm_ros.stamps import NANOSECONDS

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
_CHECKED = (b'\xff\xd8\xff', b'\x89PNG')  # what is known to be whole before it is decoded


@dataclasses.dataclass
class _File:
    data: bytes
    format: str = ''


class FolderReader:
    """The pictures of a folder, evenly spaced in time, turned as their EXIF says.

    Attributes:
        is_live: False.
        has_stamps: False; their times begin with the first one.
        broken: files that could not be read so far.
        fault: what was wrong with the last of them.

    """

    is_live = has_stamps = False

    def __init__(self, folder: pathlib.Path, rate: float, max_pixels: int = MOST_PIXELS) -> None:
        """List the pictures.

        Args:
            folder: where they are; subfolders are not looked at.
            rate: pictures a second.
            max_pixels: most pixels (height x width) of a JPEG or PNG.

        Raises:
            SourceError: the folder cannot be read, or has no pictures.

        """
        self._rate, self._most = rate, max_pixels
        try:
            files = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES]
        except OSError as error:
            raise SourceError(f'{folder} cannot be read: {reason(error)}.') from error
        if not files:
            raise SourceError(
                f'{folder} has no pictures ({", ".join(SUFFIXES)}), and is no bag either.'
            )
        self._files = sorted(files, key=_by_number)
        self.broken, self.fault = 0, ''

    def frames(self, wanted: Wanted) -> Iterator[Picture]:
        """Yield the pictures that are wanted; see `Reader`."""
        for index, path in enumerate(self._files):
            if not wanted(round(index * NANOSECONDS / self._rate)):
                continue
            try:
                yield self._read(path)
            except (OSError, ImageError, cv2.error) as error:
                self.broken += 1
                self.fault = f'{path} cannot be read: {reason(error)}.'

    def close(self) -> None:
        """Nothing is open between two pictures."""

    def _read(self, path: pathlib.Path) -> Picture:
        data = path.read_bytes()
        if data.startswith(_CHECKED):
            decode_compressed(_File(data), self._most)  # OpenCV fills a cut off one with grey
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
        if picture is None:
            raise ImageError('it is no picture, or damaged')
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def _by_number(path: pathlib.Path) -> list[tuple[int, str]]:
    """Sort by name, with numbers as numbers: 2.jpg before 10.jpg."""
    parts = re.split(r'(\d+)', path.name)
    return [(int(part), '') if part.isdecimal() else (0, part) for part in parts]
