# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`open_source`: one call for every kind of source."""

from __future__ import annotations

from collections.abc import Callable
import functools
import pathlib

from streamvlm_ros import checks
from streamvlm_ros.errors import SourceError
from streamvlm_ros.sources.address import Kind, kind_of, path_of, shown
from streamvlm_ros.sources.reader import Reader
from streamvlm_ros.sources.source import Options, Source
from streamvlm_ros.sources.video import MOST_PIXELS

FASTEST = 1000.0  # Hz
MOST_FRAMES = 10_000  # in the buffer
LONGEST = 3600.0  # seconds of a time-out


def open_source(
    address: str | int | pathlib.Path,
    *,
    sample_rate: float = 0.0,
    own_pace: bool = False,
    buffer_frames: int = 8,
    timeout: float = 10.0,
    start_ns: int | None = 0,
    folder_rate: float = 1.0,
    topic: str = '',
    max_pixels: int = MOST_PIXELS,
    on_event: Callable[[str], object] | None = None,
) -> Source:
    """Open a camera, a video, a folder of pictures or a bag; iterating yields its frames.

    Args:
        address: a number or /dev/video… (webcam), an rtsp://, rtsps://, http:// or https:// URL
            with user name and password if it needs them, or the path of a video file, of a folder
            of pictures, or of a bag.
        sample_rate: frames a second that are yielded, by their stamps; 0: every frame.
        own_pace: play a recording at the pace at which it was recorded; False: as fast as its
            frames are taken. Cameras have their own pace.
        buffer_frames: frames that may wait for the program.
        timeout: seconds without an answer or a picture after which a source is lost. A camera is
            then opened again, for as long as it takes.
        start_ns: stamp of a recording's first frame, in nanoseconds; None: the time of day.
            Cameras begin with the time of day, bags have their own stamps.
        folder_rate: pictures a second of a folder of pictures.
        topic: the image topic of a bag that has several.
        max_pixels: most pixels (height x width) of a picture; larger ones are not decoded.
        on_event: called with a sentence about each fault, loss and gap, in any thread; the logger
            `streamvlm_ros.sources` has them too.

    Raises:
        SourceError: it cannot be opened, or an argument is not possible.

    """
    check = functools.partial(_bounded, most=FASTEST)
    options = Options(
        sample_rate=check('sample_rate', sample_rate, least=0.0),
        own_pace=checks.flag('own_pace', own_pace),
        buffer_frames=int(_bounded('buffer_frames', buffer_frames, 1, MOST_FRAMES)),
        timeout=_bounded('timeout', timeout, 0.1, LONGEST),
        start_ns=start_ns,
        on_event=on_event,
    )
    rate = check('folder_rate', folder_rate, least=0.001)
    connect = _connector(kind_of(address), str(address), options.timeout, rate, topic, max_pixels)
    return Source(shown(str(address)), connect, options)


def _connector(
    kind: Kind, address: str, timeout: float, rate: float, topic: str, max_pixels: int
) -> Callable[[], Reader]:
    """Return what opens a source; what it needs is imported only now."""
    if kind is Kind.WEBCAM:
        from streamvlm_ros.sources.webcam import open_webcam

        return functools.partial(open_webcam, address)
    if kind is Kind.RTSP:
        from streamvlm_ros.sources.streams import open_rtsp

        return functools.partial(open_rtsp, address, timeout, max_pixels)
    if kind is Kind.HTTP:
        from streamvlm_ros.sources.mjpeg import open_http

        return functools.partial(open_http, address, timeout, max_pixels)
    path = path_of(address)
    if kind is Kind.FOLDER:
        from streamvlm_ros.sources.pictures import FolderReader

        return functools.partial(FolderReader, path, rate, max_pixels)
    if kind is Kind.BAG:
        from streamvlm_ros.sources.bag import BagReader

        return functools.partial(BagReader, path, topic, max_pixels)
    from streamvlm_ros.sources.streams import VideoReader
    from streamvlm_ros.sources.video import open_video_file

    return lambda: VideoReader(open_video_file(path, max_pixels), is_live=False)


def _bounded(name: str, value: float, least: float, most: float) -> float:
    number = checks.number(name, value)
    if not least <= number <= most:
        raise SourceError(f'{name} is {number:g}; give {least:g} to {most:g}.')
    return number
