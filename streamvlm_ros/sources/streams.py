# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Videos and cameras on the network, opened by FFmpeg through PyAV."""

from __future__ import annotations

from collections.abc import Iterator
import socket
from urllib import parse

import av
import av.error

from streamvlm_ros.errors import SourceError
from streamvlm_ros.sources.address import shown
from streamvlm_ros.sources.reader import Wanted
from streamvlm_ros.sources.video import MOST_PIXELS, Picture, reason, Video

PORTS = {'rtsp': 554, 'rtsps': 322}
# TCP first: with UDP a camera's large pictures lose packets. Nothing is held back to find out the
# rate, which its clock tells better, and a stream is looked at for a second at most.
RTSP = {
    'rtsp_flags': 'prefer_tcp',
    'fflags': 'nobuffer',
    'fpsprobesize': '0',
    'analyzeduration': '1000000',
}
# A video that is fetched goes on where a short loss of the network has cut it.
HTTP = {'reconnect': '1', 'reconnect_on_network_error': '1', 'reconnect_delay_max': '5'}


class VideoReader:
    """The pictures of a `Video`, as a file or a connection has them.

    Attributes:
        is_live: it is a camera.
        has_stamps: False; a video's times begin with it.

    """

    has_stamps = False

    def __init__(self, video: Video, *, is_live: bool) -> None:
        """Take a video that is open, and close it."""
        self._video, self.is_live = video, is_live

    @property
    def broken(self) -> int:
        """Pictures that could not be decoded so far."""
        return self._video.broken

    @property
    def fault(self) -> str:
        """What was wrong with the last of them, or why the video has ended early; ''."""
        return self._video.ended_early or self._video.fault

    def frames(self, wanted: Wanted) -> Iterator[Picture]:
        """Yield the pictures that are wanted; see `Reader`."""
        for _, picture in self._video.frames(wanted):
            yield picture
        if self.is_live:
            raise SourceError(
                self._video.ended_early or f'{self._video.name} has closed the connection.'
            )

    def close(self) -> None:
        """Close the file or connection."""
        self._video.close()


def open_rtsp(url: str, timeout: float, max_pixels: int = MOST_PIXELS) -> VideoReader:
    """Connect to an RTSP camera.

    Args:
        url: with user name and password, if it needs them.
        timeout: seconds without an answer, or without a picture, after which it is lost.
        max_pixels: most pixels (height x width) of a picture.

    Raises:
        SourceError: it cannot be reached, or does not send a video.

    """
    parts = parse.urlsplit(url)
    reach(str(parts.hostname), parts.port or PORTS[parts.scheme.lower()], url, timeout)
    video = open_url(url, timeout, RTSP, max_pixels)
    return VideoReader(video, is_live=True)


def open_url(url: str, timeout: float, options: dict[str, str], max_pixels: int) -> Video:
    """Open a URL with FFmpeg; raises as `open_rtsp`."""
    try:
        container = av.open(
            url, options=dict(options), timeout=(timeout, timeout), metadata_errors='replace'
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise SourceError(refusal(url, error, timeout)) from None
    try:
        return Video(container, shown(url), max_pixels)
    except SourceError:
        container.close()
        raise


def reach(host: str, port: int, url: str, timeout: float) -> None:
    """Raise SourceError with a clear reason if no connection to a host can be made."""
    try:
        socket.create_connection((host, port), timeout).close()
    except (OSError, UnicodeError) as error:
        raise SourceError(refusal(url, error, timeout)) from error


def refusal(url: str, error: Exception, timeout: float) -> str:
    """Return why a URL cannot be opened, and what to do; its password is not in it."""
    name, why = shown(url), shown(reason(error))
    code = getattr(error, 'code', None)
    if isinstance(error, av.error.HTTPUnauthorizedError) or code == 401:
        return (
            f'{name} refuses the user name or the password (401); give them in the URL, as '
            f'{parse.urlsplit(url).scheme}://USER:PASSWORD@HOST.'
        )
    if isinstance(error, av.error.HTTPForbiddenError) or code == 403:
        return f'{name} does not allow this user to see it (403).'
    if isinstance(error, av.error.HTTPNotFoundError) or code == 404:
        return f'There is nothing at {name} (404); check the path.'
    if isinstance(error, ConnectionRefusedError):
        return f'{name} refuses the connection; check that it runs, and the port.'
    if isinstance(error, (av.error.ExitError, TimeoutError)):
        return f'{name} has not answered for {timeout:g} s; check the address and the network.'
    if isinstance(error, socket.gaierror):
        return f'The host of {name} is not known ({why}); check its name.'
    if isinstance(error, av.error.InvalidDataError):
        return f'{name} sends no video that FFmpeg can read ({why}).'
    return f'{name} cannot be opened: {why}.'
