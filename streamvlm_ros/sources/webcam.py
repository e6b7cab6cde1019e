# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A webcam, read by OpenCV; on Linux with the time at which the driver has taken each picture."""

from __future__ import annotations

from collections.abc import Iterator
import os
import pathlib
import sys

import cv2
import numpy as np

from streamvlm_ros.errors import SourceError
from streamvlm_ros.sources.reader import Wanted
from streamvlm_ros.sources.video import Picture, reason


class WebcamReader:
    """The pictures of a webcam that is open.

    Attributes:
        is_live: True.
        has_stamps: False; the driver's clock begins with the machine.
        broken: pictures that could not be decoded so far.
        fault: what was wrong with the last of them.

    """

    is_live, has_stamps = True, False

    def __init__(self, capture: cv2.VideoCapture, name: str) -> None:
        """Take a device that OpenCV has opened."""
        self._capture, self._name = capture, name
        self.broken, self.fault = 0, ''

    def frames(self, wanted: Wanted) -> Iterator[Picture]:
        """Yield the pictures that are wanted; see `Reader`."""
        while self._capture.grab():
            milliseconds = self._capture.get(cv2.CAP_PROP_POS_MSEC)
            if not wanted(round(milliseconds * 1e6) if milliseconds > 0.0 else None):
                continue
            is_decoded, picture = self._capture.retrieve()
            if is_decoded and picture is not None:
                yield np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
            else:
                self.broken += 1
                self.fault = f'A picture of {self._name} cannot be decoded.'
        raise SourceError(f'{self._name} gives no more pictures; check its cable.')

    def close(self) -> None:
        """Give the device back."""
        self._capture.release()


def open_webcam(address: str) -> WebcamReader:
    """Open a webcam.

    Args:
        address: its number, or /dev/video and its number.

    Raises:
        SourceError: there is none, it may not be read, or another program has it.

    """
    number = int(address.removeprefix('/dev/video'))
    name = f'/dev/video{number}' if sys.platform == 'linux' else f'Webcam {number}'
    backend = cv2.CAP_ANY
    if sys.platform == 'linux':
        _check_device(pathlib.Path(name))
        backend = cv2.CAP_V4L2
    capture = cv2.VideoCapture(number, backend)
    if not capture.isOpened() or not capture.grab():
        capture.release()
        raise SourceError(
            f'{name} gives no pictures: another program uses it, or it is no camera (the second '
            'device of a webcam is none; try the number before).'
        )
    return WebcamReader(capture, name)


def _check_device(path: pathlib.Path) -> None:
    if not path.exists():
        there = sorted(str(each) for each in path.parent.glob('video*'))
        raise SourceError(
            f'There is no {path}; '
            + (f'there is {", ".join(there)}.' if there else 'no webcam is connected.')
        )
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    except PermissionError as error:
        raise SourceError(
            f'{path} may not be read; add your user to the group that owns it, as '
            '`sudo usermod -aG video $USER`, and log in again.'
        ) from error
    except OSError as error:
        raise SourceError(f'{path} cannot be opened: {reason(error)}.') from error
