# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The pictures of a video with their times, decoded by PyAV: of a file, a URL or a camera.

Times are those of the video itself, so a variable frame rate stays as it was recorded. Rotation
that the video's metadata ask for is applied. Sound is not read. Damaged pictures are left out and
counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import logging
import pathlib
import struct
from typing import Any

import av
import av.error
from av.stream import Disposition
import numpy as np
import numpy.typing as npt

from streamvlm_ros.errors import SourceError
from streamvlm_ros.stamps import NANOSECONDS

Picture = npt.NDArray[np.uint8]
MOST_PIXELS = 1 << 26  # of a picture: height x width
USUAL_RATE = 25.0  # Hz, of a video that neither says its rate nor gives its pictures times

# FFmpeg's own messages of damaged packets would go to stderr; faults are counted and told here.
logging.getLogger('libav').setLevel(logging.CRITICAL)


class Video:
    """A video that is open. One thread at a time may use it.

    Attributes:
        name: of the video, for sentences.
        height, width: in pixels, as stored; a rotated picture has them exchanged.
        rate: pictures a second, on average; 0: unknown.
        duration: in seconds; None: unknown, as of a camera.
        broken: pictures and packets read so far that could not be decoded.
        jumps: how often the video's own clock went back; the times here go on.
        fault: what was wrong with the last of those; '': all is well.
        ended_early: why the video could not be read to its end; '': it could.

    """

    def __init__(self, container: Any, name: str, max_pixels: int = MOST_PIXELS) -> None:
        """Take what PyAV has opened.

        Args:
            container: a container of PyAV, open for reading.
            name: of the video, for sentences.
            max_pixels: most pixels (height x width) of a picture.

        Raises:
            SourceError: there is no video in it, or its pictures are too large.

        """
        self._container, self.name, self._most = container, name, max_pixels
        streams = [
            stream
            for stream in container.streams.video
            if not stream.disposition & Disposition.attached_pic  # the cover of a song
        ]
        if not streams:
            raise SourceError(f'There is no video in {name}; it has {_listed(container)}.')
        self._stream = streams[0]
        if self._stream.codec_context.name == 'mjpeg':
            # Else a picture of which half is missing comes as if it were whole.
            self._stream.codec_context.options = {'err_detect': 'explode'}
        self.height, self.width = int(self._stream.height), int(self._stream.width)
        self._check_size(self.height, self.width)
        self.rate = float(self._stream.average_rate or 0.0)
        length = container.duration
        self.duration = None if not length or length < 0 else length / av.time_base
        self.broken = self.jumps = 0
        self.fault = self.ended_early = ''

    def frames(
        self, wanted: Callable[[int], bool] = lambda time_ns: True
    ) -> Iterator[tuple[int, Picture]]:
        """Yield the pictures in the order in which they are shown.

        Args:
            wanted: tells by its time whether a picture is to be yielded; one that is not costs no
                conversion to RGB.

        Yields:
            The time since the first picture in nanoseconds, which grows strictly, and the picture:
            RGB uint8 [height, width, 3].

        Raises:
            SourceError: a picture is too large.

        """
        times = _Times(self.rate or USUAL_RATE)
        for frame in self._decoded():
            time_ns = times.take(frame.pts, frame.time_base)
            self.jumps = times.jumps
            if not wanted(time_ns):
                continue
            self._check_size(frame.height, frame.width)
            try:
                picture = upright(frame.to_ndarray(format='rgb24'), _matrix(frame))
            except (av.error.FFmpegError, ValueError) as error:
                self._count_broken(error)
                continue
            yield time_ns, picture

    def close(self) -> None:
        """Close the file or connection."""
        self._container.close()

    def _decoded(self) -> Iterator[Any]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.ExitError, TimeoutError):
                self.ended_early = f'{self.name} has sent nothing in time.'
                return
            except (av.error.FFmpegError, OSError, ValueError) as error:
                self.ended_early = f'{self.name} cannot be read to its end: {reason(error)}.'
                return
            if packet is None:
                return
            try:
                frames = packet.decode()
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, ValueError) as error:
                self._count_broken(error)
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self._count_broken('it refers to data that are missing')
                else:
                    yield frame

    def _count_broken(self, why: Exception | str) -> None:
        self.broken += 1
        self.fault = f'A picture of {self.name} is damaged: {reason(why)}.'

    def _check_size(self, height: int, width: int) -> None:
        if height * width > self._most:
            raise SourceError(
                f'The pictures of {self.name} have {width}x{height} pixels; at most '
                f'{self._most} in all are taken (max_pixels).'
            )


@contextlib.contextmanager
def open_video(path: pathlib.Path | str, max_pixels: int = MOST_PIXELS) -> Iterator[Video]:
    """Open a video file, of any format that FFmpeg reads.

    Args:
        path: of the file.
        max_pixels: most pixels (height x width) of a picture; larger ones are refused.

    Raises:
        SourceError: there is no such file, it may not be read, or it is no video.

    """
    video = open_video_file(path, max_pixels)
    try:
        yield video
    finally:
        video.close()


def open_video_file(path: pathlib.Path | str, max_pixels: int = MOST_PIXELS) -> Video:
    """Open a video file as `open_video` does; the caller closes it."""
    path = pathlib.Path(path)
    try:
        with open(path, 'rb') as file:
            is_empty = not file.read(1)
    except FileNotFoundError as error:
        raise SourceError(f'There is no file {path}.') from error
    except OSError as error:
        raise SourceError(f'{path} cannot be read: {reason(error)}.') from error
    if is_empty:
        raise SourceError(f'{path} is empty.')
    try:
        # As a URL, so that a file whose name has a colon is not taken for a protocol.
        container = av.open(f'file:{path.absolute()}', metadata_errors='replace')
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise SourceError(
            f'{path} is no video that FFmpeg can read, or its beginning or index is missing '
            f'({reason(error)}).'
        ) from error
    try:
        video = Video(container, str(path), max_pixels)
    except SourceError:
        container.close()
        raise
    container.streams.video[0].thread_type = 'AUTO'  # several pictures at once
    return video


def reason(error: Exception | str) -> str:
    """Return why something failed, in a few words; those of FFmpeg have no file name in them."""
    text = getattr(error, 'strerror', None) or str(error) or type(error).__name__
    return ' '.join(str(text).split()).rstrip('.')


def upright(picture: Picture, matrix: tuple[int, ...] | None) -> Picture:
    """Turn and mirror a picture as a display matrix says, by multiples of 90 degrees.

    Args:
        picture: [height, width, 3].
        matrix: a, b, c, d of x' = a x + c y, y' = b x + d y, where only the signs count
            (ISO/IEC 14496-12, 8.3.2); None: leave it as it is.

    Returns:
        The picture as it is to be seen, contiguous. A slanted one stays as it is.

    """
    if matrix is None:
        return picture
    a, b, c, d = matrix
    if not a and not d and b and c:
        picture, horizontal, vertical = picture.transpose(1, 0, 2), c, b
    elif a and d and not b and not c:
        horizontal, vertical = a, d
    else:
        return picture
    if horizontal < 0:
        picture = picture[:, ::-1]
    if vertical < 0:
        picture = picture[::-1]
    return np.ascontiguousarray(picture)


class _Times:
    """The times of pictures since the first one, which grow strictly."""

    def __init__(self, rate: float) -> None:
        """Begin; `rate` is used for pictures without a time."""
        self._usual = max(1, round(NANOSECONDS / rate))
        self._origin: int | None = None
        self._last = 0
        self.jumps = 0

    def take(self, pts: int | None, base: Any) -> int:
        """Return a picture's time in nanoseconds, from what the video has for it."""
        own = None
        if pts is not None and base is not None:
            own = round(pts * base * NANOSECONDS)  # exact: base is a fraction
        if self._origin is None:
            self._origin = own or 0
            return 0
        time_ns = self._last + self._usual if own is None else own - self._origin
        if time_ns <= self._last:
            # A file that was joined from several, or a camera that began anew.
            self.jumps += 1
            time_ns = self._last + self._usual
            self._origin = (own or 0) - time_ns
        self._last = time_ns
        return time_ns


def _matrix(frame: Any) -> tuple[int, ...] | None:
    for data in frame.side_data:
        if data.type.name == 'DISPLAYMATRIX':
            a, b, _, c, d, *_ = struct.unpack('=9i', bytes(data))
            return a, b, c, d
    return None


def _listed(container: Any) -> str:
    kinds = sorted({stream.type for stream in container.streams})
    return f'{" and ".join(kinds)} only' if kinds else 'nothing'
