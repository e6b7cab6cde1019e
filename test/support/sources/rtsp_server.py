# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A small RTSP camera: H.264 in RTP, interleaved in the TCP connection (RFC 2326, 3550, 6184).

`python -m support.sources.rtsp_server` serves until it is killed, and prints its port.
"""

from __future__ import annotations

import base64
import contextlib
import fractions
import functools
import itertools
import socket
import socketserver
import struct
import sys
import threading
import time
from typing import Any

import av
from support.sources.videos import numbered

MOST_PAYLOAD = 1200  # bytes of a NAL unit in one RTP packet
USER, PASSWORD = 'admin', 'open sesame'
LOGIN = base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()


def time_of(index: int) -> int:
    """Return the time of a picture on the camera's own clock in milliseconds; it is uneven."""
    return 40 * index + 7 * (index % 3)


@functools.cache
def pictures() -> list[list[bytes]]:
    """Return the NAL units of pictures 0 to 24, each of which can be decoded alone."""
    encoder: Any = av.CodecContext.create('libx264', 'w')
    encoder.width, encoder.height, encoder.pix_fmt = 64, 48, 'yuv420p'
    encoder.time_base = fractions.Fraction(1, 25)
    encoder.options = {
        'g': '1',
        'preset': 'ultrafast',
        'tune': 'zerolatency',
        'x264-params': 'annexb=1:repeat-headers=1:slices=1:threads=1',
    }
    found = []
    for number in range(25):
        frame = av.VideoFrame.from_ndarray(numbered(number), 'rgb24')
        frame.pts = number
        data = b''.join(bytes(packet) for packet in encoder.encode(frame))
        units = data.replace(b'\0\0\0\1', b'\0\0\1').split(b'\0\0\1')
        found.append([unit for unit in units if unit])
    assert all(found)
    return found


def payloads(units: list[bytes]) -> list[bytes]:
    """Return RTP payloads: whole NAL units, or fragments of long ones (RFC 6184, 5.6 and 5.8)."""
    found = []
    for unit in units:
        if len(unit) <= MOST_PAYLOAD:
            found.append(unit)
            continue
        kind, data = unit[0], unit[1:]
        for at in range(0, len(data), MOST_PAYLOAD):
            is_first, is_last = at == 0, at + MOST_PAYLOAD >= len(data)
            flags = is_first << 7 | is_last << 6 | kind & 31
            found.append(bytes([kind & 0xE0 | 28, flags]) + data[at : at + MOST_PAYLOAD])
    return found


class _Session(socketserver.BaseRequestHandler):
    """One client."""

    server: RtspServer

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            if self.server.way == 'silent':
                self.server.over.wait()
            elif self.server.way == 'garbage':
                self.request.recv(4096)
                self.request.sendall(b'\x80garbage\r\n' * 10_000)
            else:
                self._serve()

    def _serve(self) -> None:
        self.server.clients.append(self.request)
        buffer = b''
        while data := self.request.recv(4096):
            buffer += data
            while b'\r\n\r\n' in buffer:
                text, _, buffer = buffer.partition(b'\r\n\r\n')
                self._answer(text.lstrip(b'$').decode('latin-1'))

    def _answer(self, text: str) -> None:
        first, *lines = text.split('\r\n')
        method = first.split()[0] if first.split() else ''
        header = {name.lower(): value for name, _, value in (x.partition(': ') for x in lines)}
        more, body = '', ''
        code = '200 OK'
        if self.server.way == 'secret' and header.get('authorization') != f'Basic {LOGIN}':
            code, more = '401 Unauthorized', 'WWW-Authenticate: Basic realm="camera"\r\n'
        elif '/nothing' in first:
            code = '404 Not Found'
        elif method == 'DESCRIBE':
            more = 'Content-Type: application/sdp\r\n'
            body = (
                'v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n'
                'm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n'
                'a=fmtp:96 packetization-mode=1\r\na=control:track0\r\n'
            )
        elif method == 'SETUP':
            more = 'Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1;timeout=60\r\n'
        elif method == 'PLAY':
            more = 'Session: 1\r\nRange: npt=0.000-\r\n'
        elif method == 'OPTIONS':
            more = 'Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n'
        self.request.sendall(
            f'RTSP/1.0 {code}\r\nCSeq: {header.get("cseq", "0")}\r\n{more}'
            f'Content-Length: {len(body)}\r\n\r\n{body}'.encode()
        )
        if method == 'PLAY' and code.startswith('200'):
            threading.Thread(target=self._play, daemon=True).start()

    def _play(self) -> None:
        number = itertools.count()
        with contextlib.suppress(OSError):
            for index in itertools.count():
                if self.server.way == 'stalls' and index >= 10:
                    return
                # It arrives at other times than the camera's clock has.
                if self.server.over.wait(0.005 if index % 4 else 0.05):
                    return
                parts = payloads(pictures()[index % 25])
                stamp = (self.server.first + 90 * time_of(index)) % 2**32
                for i, part in enumerate(parts):
                    kind = 96 | (i == len(parts) - 1) << 7
                    head = struct.pack('>BBHII', 0x80, kind, next(number) % 2**16, stamp, 7)
                    packet = head + part
                    self.request.sendall(struct.pack('>cBH', b'$', 0, len(packet)) + packet)


class RtspServer(socketserver.ThreadingTCPServer):
    """Serves in threads; use it in a `with` block.

    Attributes:
        way: 'plays', 'stalls' (after ten pictures), 'silent', 'garbage', or 'secret' (needs
            USER and PASSWORD).
        first: RTP time of the first picture; near 2**32 it turns over.
        over: it is to end.

    """

    allow_reuse_address = daemon_threads = True

    def __init__(self, way: str = 'plays', port: int = 0) -> None:
        super().__init__(('127.0.0.1', port), _Session)
        self.way, self.first, self.over = way, 2**32 - 9000, threading.Event()
        self.clients: list[socket.socket] = []
        self.port = int(self.server_address[1])
        self.url = f'rtsp://127.0.0.1:{self.port}/camera'
        pictures()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def cut(self) -> None:
        """Cut all connections, as a network does."""
        for client in self.clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self.clients.clear()

    def __exit__(self, *args: object) -> None:
        self.over.set()
        self.cut()
        self.shutdown()
        self.server_close()


if __name__ == '__main__':
    with RtspServer(port=int(sys.argv[1]) if len(sys.argv) > 1 else 0) as server:
        print(server.port, flush=True)
        while True:
            time.sleep(60)
