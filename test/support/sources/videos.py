# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Video files that tests encode, of pictures whose number can be read from their colour."""

from __future__ import annotations

from collections.abc import Sequence
import fractions
import pathlib
import struct

import av
import numpy as np

HEIGHT, WIDTH = 48, 64
MILLISECOND = 1_000_000
# x' = a x + c y, y' = b x + d y of a display matrix, by what a viewer does with the picture.
TURNED = {
    'clockwise': (0, 1, -1, 0),
    'counterclockwise': (0, -1, 1, 0),
    'upside down': (-1, 0, 0, -1),
    'mirrored': (-1, 0, 0, 1),
}


def numbered(number: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return a picture, RGB uint8 [height, width, 3], that is grey in its number, 0 to 24.

    Its upper left quarter is red, so that its orientation can be seen.
    """
    picture = np.full((height, width, 3), 10 * number, np.uint8)
    picture[: height // 2, : width // 2] = (220, 20, 20)
    return picture


def number_of(picture: np.ndarray) -> int:
    """Return the number of a picture as `numbered` makes it, however it was turned."""
    height, width, _ = picture.shape
    greys = [picture[y, x] for y in (4, height - 5) for x in (4, width - 5)]
    return round(float(np.median([grey.mean() for grey in greys if np.ptp(grey) < 60])) / 10)


def red_corner(picture: np.ndarray) -> str:
    """Return in which corner of the picture its red quarter is."""
    height, width, _ = picture.shape
    for name, y, x in (
        ('upper left', 4, 4),
        ('upper right', 4, width - 5),
        ('lower left', height - 5, 4),
        ('lower right', height - 5, width - 5),
    ):
        if int(picture[y, x, 0]) - int(picture[y, x, 1]) > 100:
            return name
    return 'nowhere'


def write_video(
    path: pathlib.Path,
    times_ms: Sequence[int],
    *,
    codec: str = 'libx264',
    has_sound: bool = False,
    has_pictures: bool = True,
) -> pathlib.Path:
    """Write a video whose pictures are numbered from 0 on and shown at these times."""
    # AVI counts pictures; the others have milliseconds.
    base = fractions.Fraction(1, 25 if path.suffix == '.avi' else 1000)
    with av.open(str(path), 'w') as container:
        if has_pictures:
            video = container.add_stream(codec, rate=25, options={'g': '5'})
            video.width, video.height = WIDTH, HEIGHT
            video.pix_fmt = 'yuvj420p' if codec == 'mjpeg' else 'yuv420p'
            video.codec_context.time_base = base
        if has_sound:
            sound = container.add_stream('aac', rate=8000)
            for start in range(0, 8192, 1024):
                tone = np.zeros((1, 1024), np.float32)
                chunk = av.AudioFrame.from_ndarray(tone, format='fltp', layout='mono')
                chunk.sample_rate, chunk.pts = 8000, start
                container.mux(sound.encode(chunk))
            container.mux(sound.encode(None))
        if has_pictures:
            for number, time in enumerate(times_ms):
                frame = av.VideoFrame.from_ndarray(numbered(number % 25), 'rgb24')
                frame.pts, frame.time_base = int(time / 1000 / base), base
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
    return path


def turn(path: pathlib.Path, how: str) -> None:
    """Write a display matrix into the header of an mp4 file's first track."""
    data = bytearray(path.read_bytes())
    begin = data.index(b'tkhd') + 4
    # ISO/IEC 14496-12, 8.3.2: version, flags, times and length, then 16 bytes up to the matrix.
    begin += 4 + (32 if data[begin] else 20) + 16
    a, b, c, d = (value << 16 for value in TURNED[how])
    data[begin : begin + 36] = struct.pack('>9i', a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(data))
