# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An http server with MJPEG streams that behave well and badly, and a video file."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import itertools
import pathlib
import threading

import cv2
from support.sources.videos import numbered

USER, PASSWORD = 'admin', 'open sesame'
LOGIN = base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()
FIRST_STAMP = 1_700_000_000_250_000_000  # nanoseconds; pictures follow every 125 ms


@functools.cache
def jpeg(number: int) -> bytes:
    """Return a numbered picture as JPEG."""
    picture = cv2.cvtColor(numbered(number), cv2.COLOR_RGB2BGR)
    return cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: MjpegServer

    def do_GET(self) -> None:
        with contextlib.suppress(OSError):
            path = self.path.partition('?')[0].strip('/')
            if path == 'secret' and self.headers.get('Authorization') != f'Basic {LOGIN}':
                self.send_response(401)
                self.send_header('WWW-Authenticate', 'Basic realm="camera"')
                self.end_headers()
            elif path == 'page':
                self._send('text/html', b'<html>A page</html>')
            elif path == 'clip.mp4':
                self._send('video/mp4', self.server.clip.read_bytes())
            elif path == 'silent':
                self.server.over.wait()
            elif path == 'elsewhere':
                self.send_response(302)
                self.send_header('Location', '/plain')
                self.end_headers()
            elif path in (
                'plain',
                'secret',
                'stamped',
                'endless',
                'stalls',
                'ends',
                'damaged',
                'garbage',
                'trickles',
                'slow',
            ):
                self._stream(path)
            else:
                self.send_error(404)

    def _send(self, kind: str, data: bytes) -> None:
        begin = 0
        asked = self.headers.get('Range', '')
        if asked.startswith('bytes='):
            begin = int(asked[6:].partition('-')[0])
            self.send_response(206)
            self.send_header('Content-Range', f'bytes {begin}-{len(data) - 1}/{len(data)}')
        else:
            self.send_response(200)
        self.send_header('Content-Type', kind)
        self.send_header('Accept-Ranges', 'bytes')
        self.send_header('Content-Length', str(len(data) - begin))
        self.end_headers()
        self.wfile.write(data[begin:])

    def _stream(self, way: str) -> None:
        self.server.connections += 1
        self.send_response(200)
        self.send_header('Content-Type', 'multipart/x-mixed-replace; boundary=--frame')
        self.end_headers()
        if way == 'garbage':
            self.wfile.write(b'neither boundary nor header ' * 10_000)
            self.server.over.wait()
        if way == 'trickles':
            while not self.server.over.wait(0.05):
                self.wfile.write(b'.')
        for index in itertools.count():
            data = jpeg(index % 25)
            if way == 'damaged' and index % 5 == 3:
                data = data[: len(data) // 2]
            header = b'--frame\r\nContent-Type: image/jpeg\r\n'
            if way != 'endless':
                header += f'Content-Length: {len(data)}\r\n'.encode()
            if way == 'stamped':
                seconds, rest = divmod(FIRST_STAMP + index * 125_000_000, 10**9)
                header += f'X-Timestamp: {seconds}.{rest // 1000:06d}\r\n'.encode()
            self.wfile.write(header + b'\r\n' + data + b'\r\n')
            self.wfile.flush()
            if way == 'ends' and index == 4:
                return
            if way == 'stalls' and index == 4:
                self.server.over.wait()
            if self.server.over.wait(0.3 if way == 'slow' else 0.01):
                return

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class MjpegServer(http.server.ThreadingHTTPServer):
    """Serves in threads; use it in a `with` block.

    Attributes:
        connections: streams that were begun.
        over: it is to end.

    """

    allow_reuse_address = daemon_threads = True

    def __init__(self, clip: pathlib.Path | None = None, port: int = 0) -> None:
        super().__init__(('127.0.0.1', port), _Handler)
        self.clip, self.over, self.connections = clip or pathlib.Path(), threading.Event(), 0
        self.port = int(self.server_address[1])
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, path: str, login: str = '') -> str:
        """Return the URL of a path."""
        return f'http://{login}127.0.0.1:{self.port}/{path}'

    def __exit__(self, *args: object) -> None:
        self.over.set()
        self.shutdown()
        self.server_close()
