# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a user writes for a source, and how it is shown: without its password."""

from __future__ import annotations

import enum
import pathlib
import re
from urllib import parse

from streamvlm_ros.errors import SourceError

SCHEMES = ('rtsp', 'rtsps', 'http', 'https')
_BAG_FILES = ('.mcap', '.db3', '.bag')
_URL = re.compile(r'([A-Za-z][A-Za-z0-9+.-]*)://')
# Cameras take passwords in the query or even in the path: /user=admin&password=secret&channel=1
_SECRET = re.compile(r'(?i)((?:pass\w*|pwd|pw|psw|token|secret|\w*key|auth\w*|sig\w*)=)[^&/#;\s]+')


class Kind(enum.Enum):
    """What a source is, by its address."""

    WEBCAM = 'a webcam'
    RTSP = 'an RTSP camera'
    HTTP = 'a URL'
    VIDEO = 'a video file'
    FOLDER = 'a folder of pictures'
    BAG = 'a bag'


def kind_of(address: str | int | pathlib.Path) -> Kind:
    """Return what an address names; files are looked at, networks and devices are not.

    Args:
        address: a number or /dev/video…: a webcam; a URL; or a path.

    Raises:
        SourceError: it is empty, its scheme is unknown, or there is no such file.

    """
    text = str(address)
    if text.isdecimal() or re.fullmatch(r'/dev/video\d+', text):
        return Kind.WEBCAM
    match = _URL.match(text)
    if match and match[1].lower() != 'file':
        scheme = match[1].lower()
        if scheme not in SCHEMES:
            raise SourceError(
                f'{shown(text)} has the unknown scheme {scheme}://; a source is a number '
                '(webcam), a path, or a URL with rtsp://, rtsps://, http:// or https://.'
            )
        try:
            parts = parse.urlsplit(text)
            named = bool(parts.hostname) and parts.port != 0
        except ValueError:
            named = False
        if not named:
            raise SourceError(f'{shown(text)} is no URL: it has no host, or no possible port.')
        return Kind.RTSP if scheme.startswith('rtsp') else Kind.HTTP
    if not text.strip():
        raise SourceError('The source is empty; give a number, a path or a URL.')
    path = path_of(text)
    if path.is_dir():
        is_bag = (path / 'metadata.yaml').is_file() or any(
            file.suffix in _BAG_FILES for file in path.iterdir()
        )
        return Kind.BAG if is_bag else Kind.FOLDER
    if path.suffix in _BAG_FILES and path.exists():
        return Kind.BAG
    if not path.exists():
        raise SourceError(f'There is no file {path}.')
    return Kind.VIDEO


def path_of(address: str | pathlib.Path) -> pathlib.Path:
    """Return the path that an address names, also one with file://."""
    text = str(address)
    match = _URL.match(text)
    if match:
        return pathlib.Path(parse.unquote(parse.urlsplit(text).path))
    return pathlib.Path(text).expanduser()


def shown(url: str) -> str:
    """Return a URL, or a text with one in it, with stars for its passwords."""
    # Up to the last @: names and passwords have some too. A port is no password.
    text = re.sub(r'(//[^/\s:\[]*):(?!\d{1,5}(?:[/?#\s]|$))\S*@', r'\1:***@', url)
    return _SECRET.sub(r'\1***', text)


def split_login(url: str) -> tuple[str, str, str]:
    """Return a URL without user name and password, and these two, decoded."""
    parts = parse.urlsplit(url)
    host = parts.netloc.rpartition('@')[2]
    plain = parse.urlunsplit(parts._replace(netloc=host))
    return plain, parse.unquote(parts.username or ''), parse.unquote(parts.password or '')
