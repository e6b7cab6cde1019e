# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Sources on http(s): MJPEG, as a series of JPEGs in one answer, and videos.

MJPEG is read here and not by FFmpeg, which gives its pictures the times of a constant rate:
servers that know the time of a picture send it in a header of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
import dataclasses
import email.parser
import http.client
import itertools
import time
from typing import Any
from urllib import error as url_error
from urllib import request

from streamvlm_ros.errors import SourceError
from streamvlm_ros.nodes.images.compressed import decode_compressed
from streamvlm_ros.nodes.images.images import ImageError
from streamvlm_ros.sources.address import shown, split_login
from streamvlm_ros.sources.reader import Reader, Wanted
from streamvlm_ros.sources.streams import HTTP, open_url, refusal, VideoReader
from streamvlm_ros.sources.video import MOST_PIXELS, Picture, reason
from streamvlm_ros.stamps import NANOSECONDS

MOST_HEADER = 1 << 16  # bytes between two pictures
MOST_PICTURE = 1 << 26  # bytes of one JPEG
PIECE = 1 << 16  # bytes read at a time
TIMESTAMP = 'X-Timestamp'  # seconds since 1970, of mjpg-streamer and others


@dataclasses.dataclass
class _Jpeg:
    data: bytes
    format: str = 'jpeg'


class MjpegReader:
    """The pictures of a `multipart/x-mixed-replace` answer.

    Attributes:
        is_live: True.
        has_stamps: False; where pictures have times, these count from the first one.
        broken: JPEGs that could not be decoded so far.
        fault: what was wrong with the last of them.

    """

    is_live, has_stamps = True, False

    def __init__(self, response: Any, name: str, timeout: float, max_pixels: int) -> None:
        """Take an answer of the server, and wait for the first picture's data.

        Args:
            response: an http.client.HTTPResponse.
            name: of the source, for sentences.
            timeout: seconds without a whole picture after which the source is lost.
            max_pixels: most pixels (height x width) of a picture.

        Raises:
            SourceError: no picture comes, or something else.

        """
        self._response, self._name = response, name
        self._timeout, self._most = timeout, max_pixels
        given = str(response.headers.get_param('boundary') or '')
        # Some servers write the dashes before the boundary into its name.
        self._boundary = b'--' + given.strip('"').lstrip('-').encode('latin-1', 'replace')
        self._buffer = bytearray()
        self._deadline = time.monotonic() + timeout
        self.broken, self.fault = 0, ''
        self._first = self._part()

    def frames(self, wanted: Wanted) -> Iterator[Picture]:
        """Yield the pictures that are wanted; see `Reader`."""
        for header, data in itertools.chain([self._first], iter(self._part, None)):
            self._deadline = time.monotonic() + self._timeout
            if not wanted(_time_of(header)):
                continue
            try:
                picture = decode_compressed(_Jpeg(data), self._most)
            except ImageError as error:
                self.broken += 1
                self.fault = f'A picture of {self._name} is damaged: {error}'
            else:
                yield picture

    def close(self) -> None:
        """Close the connection."""
        self._response.close()

    def _part(self) -> tuple[Any, bytes]:
        """Return the header and the data of the next part."""
        boundary = self._boundary
        start = self._find(boundary, 0, MOST_HEADER, 'no boundary between its pictures')
        del self._buffer[: start + len(boundary)]
        end = self._find(b'\r\n\r\n', 0, MOST_HEADER, 'no header before a picture')
        header = email.parser.BytesHeaderParser().parsebytes(bytes(self._buffer[:end]).lstrip())
        del self._buffer[: end + 4]
        length = str(header.get('Content-Length', '')).strip()
        if length.isdecimal() and int(length) <= MOST_PICTURE:
            size = int(length)
            while len(self._buffer) < size:
                self._read()
        else:
            size = self._find(b'\r\n' + boundary, 0, MOST_PICTURE, 'a picture without an end')
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return header, data

    def _find(self, what: bytes, begin: int, most: int, fault: str) -> int:
        while (found := self._buffer.find(what, begin)) < 0:
            begin = max(0, len(self._buffer) - len(what))
            if len(self._buffer) > most:
                raise SourceError(f'{self._name} sends {fault}: it is no MJPEG.')
            self._read()
        return found

    def _read(self) -> None:
        """Append what has come to the buffer."""
        try:
            data = self._response.read1(PIECE)
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            if isinstance(error, TimeoutError):
                raise SourceError(self._silent()) from error
            raise SourceError(f'{self._name} was lost: {reason(error)}.') from error
        if not data:
            raise SourceError(f'{self._name} has closed the connection.')
        self._buffer += data
        if time.monotonic() > self._deadline:
            raise SourceError(self._silent())

    def _silent(self) -> str:
        return f'{self._name} has sent no picture for {self._timeout:g} s.'


def open_http(url: str, timeout: float, max_pixels: int = MOST_PIXELS) -> Reader:
    """Open an http(s) URL: MJPEG, or a video; what it is the server says.

    Args:
        url: with user name and password, if it needs them.
        timeout: seconds without an answer, or without a picture, after which it is lost.
        max_pixels: most pixels (height x width) of a picture.

    Raises:
        SourceError: it cannot be reached, or is neither.

    """
    name = shown(url)
    try:
        response = _get(url, timeout)
    except (url_error.URLError, OSError, http.client.HTTPException, ValueError) as error:
        cause = getattr(error, 'reason', None)
        why = cause if isinstance(cause, Exception) else error
        raise SourceError(refusal(url, why, timeout)) from error
    kind = response.headers.get_content_type()
    if response.headers.get_content_maintype() == 'multipart':
        if response.headers.get_param('boundary'):
            try:
                return MjpegReader(response, name, timeout, max_pixels)
            except SourceError:
                response.close()
                raise
        response.close()
        raise SourceError(f'{name} sends {kind} without a boundary: it is no MJPEG.')
    response.close()
    if kind in ('text/html', 'application/json'):
        raise SourceError(
            f'{name} is a page ({kind}), not a video; give the address of the stream itself.'
        )
    video = open_url(url, timeout, HTTP, max_pixels)
    # What has a length is a recording; what has none goes on as long as its camera.
    return VideoReader(video, is_live=video.duration is None)


def _get(url: str, timeout: float) -> Any:
    """Return the server's answer; the URL's login is used as the server asks for it."""
    plain, user, password = split_login(url)
    handlers: list[request.BaseHandler] = []
    if user:
        logins = request.HTTPPasswordMgrWithDefaultRealm()
        logins.add_password(None, plain, user, password)
        handlers = [request.HTTPBasicAuthHandler(logins), request.HTTPDigestAuthHandler(logins)]
    opener = request.build_opener(*handlers)
    return opener.open(
        request.Request(plain, headers={'User-Agent': 'streamvlm'}), timeout=timeout
    )


def _time_of(header: Any) -> int | None:
    """Return the time of a picture in nanoseconds, if its header has it."""
    seconds, _, fraction = str(header.get(TIMESTAMP, '')).strip().partition('.')
    if not (seconds.isdecimal() and (fraction or '0').isdecimal()) or len(seconds) > 12:
        return None
    return int(seconds) * NANOSECONDS + int(fraction[:9].ljust(9, '0') or 0)
