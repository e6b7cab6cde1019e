# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The user's own clips: a video file, or a folder of pictures."""

from __future__ import annotations

from collections.abc import Iterable
import pathlib

import cv2
import numpy as np

from streamvlm_ros.errors import CommandError
from streamvlm_ros.verify.clips import Clip, RATE

MOST_FRAMES = 32
PICTURES = ('.bmp', '.jpeg', '.jpg', '.png', '.webp')


def read_clip(path: pathlib.Path) -> Clip:
    """Read the first `MOST_FRAMES` frames, `RATE` a second, of a video or a folder of pictures.

    Raises:
        CommandError: there is no such file, it holds no frames, or frames of different sizes.

    """
    if path.is_dir():
        return _read_pictures(path)
    if not path.is_file():
        raise CommandError(f'{path} does not exist; give a video file or a folder of pictures.')
    return _read_video(path)


def sampled(name: str, frames: Iterable[tuple[int, np.ndarray]]) -> Clip:
    """Make a clip of frames with their stamps in nanoseconds: `RATE` a second, `MOST_FRAMES`.

    Raises:
        CommandError: there is no frame, or frames have different sizes.

    """
    kept: list[np.ndarray] = []
    stamps: list[int] = []
    for stamp_ns, frame in frames:
        if stamps and stamp_ns < stamps[-1] + 0.9e9 / RATE:
            continue
        kept.append(frame)
        stamps.append(stamp_ns)
        if len(kept) == MOST_FRAMES:
            break
    if not kept:
        raise CommandError(f'{name} has no frame that can be read.')
    sizes = sorted({frame.shape[:2] for frame in kept})
    if len(sizes) > 1:
        raise CommandError(
            f'{name} has frames of {len(sizes)} sizes, {sizes[0]} and {sizes[1]} among them; '
            'give frames of one size.'
        )
    return Clip(name, kept, stamps)


def _read_video(path: pathlib.Path) -> Clip:
    video = cv2.VideoCapture(str(path))
    try:
        if not video.isOpened():
            raise CommandError(f'{path} cannot be read as a video; OpenCV does not know it.')
        return sampled(path.name, _frames(video))
    finally:
        video.release()


def _frames(video: cv2.VideoCapture) -> Iterable[tuple[int, np.ndarray]]:
    rate = video.get(cv2.CAP_PROP_FPS) or RATE
    number = 0
    while True:
        read, image = video.read()
        if not read:
            return
        yield round(1e9 * number / rate), cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        number += 1


def _read_pictures(folder: pathlib.Path) -> Clip:
    files = sorted(each for each in folder.iterdir() if each.suffix.lower() in PICTURES)
    if not files:
        raise CommandError(f'{folder} has no pictures ({", ".join(PICTURES)}).')
    return sampled(folder.name, _pictures(files))


def _pictures(files: list[pathlib.Path]) -> Iterable[tuple[int, np.ndarray]]:
    for number, file in enumerate(files):
        image = cv2.imread(str(file))
        if image is None:
            raise CommandError(f'{file} cannot be read as a picture.')
        yield round(1e9 * number / RATE), cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
