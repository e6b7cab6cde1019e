# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The images of a bag, with the stamps that they were recorded with."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import pathlib

from streamvlm_ros.bags.bags import is_compressed, open_images
from streamvlm_ros.errors import CommandError, SourceError
from streamvlm_ros.nodes.images.compressed import decode_compressed
from streamvlm_ros.nodes.images.images import decode_image, ImageError
from streamvlm_ros.sources.reader import Wanted
from streamvlm_ros.sources.video import MOST_PIXELS, Picture
from streamvlm_ros.stamps import to_nanoseconds


class BagReader:
    """The images of one topic of a bag.

    Attributes:
        is_live: False.
        has_stamps: True.
        failed: messages that hold no usable picture, so far.

    """

    is_live, has_stamps = False, True

    def __init__(self, path: pathlib.Path, topic: str, max_pixels: int = MOST_PIXELS) -> None:
        """Open a bag; raises SourceError as `open_images` raises CommandError."""
        self._most = max_pixels
        self._open = contextlib.ExitStack()
        try:
            self._images = self._open.enter_context(open_images(path, topic))
        except CommandError as error:
            raise SourceError(str(error)) from error
        if not self._images.topic.messages:
            self.close()
            raise SourceError(f'{path} has no message on {self._images.topic.name}.')
        self.failed, self._failure = 0, ''

    @property
    def broken(self) -> int:
        """Images that could not be read so far."""
        return self.failed + self._images.damaged

    @property
    def fault(self) -> str:
        """What was wrong with the last of them, or with a file of the bag; ''."""
        return self._failure or self._images.last_damage or ' '.join(self._images.faults)

    def frames(self, wanted: Wanted) -> Iterator[Picture]:
        """Yield the pictures that are wanted; see `Reader`."""
        for recorded_ns, message in self._images.recorded():
            # A driver that does not stamp: the time of recording is the best that is known.
            if not wanted(to_nanoseconds(message.header.stamp) or recorded_ns):
                continue
            decode = decode_compressed if is_compressed(message) else decode_image
            try:
                yield decode(message, self._most)
            except ImageError as error:
                self.failed += 1
                self._failure = str(error)

    def close(self) -> None:
        """Close its files."""
        self._open.close()
