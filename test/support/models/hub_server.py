# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A server on this machine with the endpoints of the Hugging Face hub that downloads use."""

from __future__ import annotations

import contextlib
import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import json
import pathlib
import re
import threading
from types import TracebackType

REVISION = 'c' * 40
PIECE = 1 << 20


class HubServer:
    """Serves a folder as the model `name`; use it in a `with` block.

    Attributes:
        asked: method, file and range of every request for a file.
        requests: how many there were, for whatever.
        gated: file requests are refused until terms are accepted.
        cut_at: a file of weights ends after so many bytes, once; 0: never.

    """

    def __init__(self, folder: pathlib.Path, name: str = 'someone/model') -> None:
        """Prepare to serve the files of a folder."""
        self.folder, self.name = folder, name
        self.asked: list[tuple[str, str, str]] = []
        self.requests, self.gated, self.cut_at = 0, False, 0
        self._server = ThreadingHTTPServer(('127.0.0.1', 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where it is."""
        return f'http://127.0.0.1:{self._server.server_address[1]}'

    def files_asked(self) -> set[str]:
        """Return the names of the files that were downloaded, whole or in part."""
        return {name for method, name, _ in self.asked if method == 'GET'}

    def __enter__(self) -> HubServer:
        """Begin to serve."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End, and leave no thread."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def log_message(self, *_: object) -> None:
                pass

            def do_HEAD(self) -> None:
                self._answer()

            def do_GET(self) -> None:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self._answer()

            def _answer(self) -> None:
                path = self.path.partition('?')[0]
                hub.requests += 1
                if path == f'/api/models/{hub.name}':
                    self._send(200, json.dumps(hub.info()).encode(), {})
                    return
                wanted = re.fullmatch(f'/{hub.name}/resolve/[^/]+/(.+)', path)
                if not wanted:
                    self._send(404, b'', {'X-Error-Code': 'RepoNotFound'})
                elif hub.gated:
                    self._send(403, b'', {'X-Error-Code': 'GatedRepo'})
                else:
                    self._send_file(wanted[1])

            def _send_file(self, name: str) -> None:
                file = hub.folder / name
                given = self.headers.get('Range', '')
                hub.asked.append((self.command, name, given))
                if not file.is_file():
                    self._send(404, b'', {'X-Error-Code': 'EntryNotFound'})
                    return
                data = file.read_bytes()
                headers = {
                    'X-Repo-Commit': REVISION,
                    'ETag': f'"{hashlib.sha256(data).hexdigest()}"',
                    'Accept-Ranges': 'bytes',
                }
                status = 200
                asked = re.fullmatch(r'bytes=(\d+)-', given)
                if asked:
                    begin, status = int(asked[1]), 206
                    headers['Content-Range'] = f'bytes {begin}-{len(data) - 1}/{len(data)}'
                    data = data[begin:]
                self._send(status, data, headers, name)

            def _send(
                self, status: int, data: bytes, headers: dict[str, str], name: str = ''
            ) -> None:
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header('Content-Length', str(len(data)))
                self.end_headers()
                if self.command == 'HEAD':
                    return
                if name.endswith('.safetensors') and hub.cut_at:
                    data, hub.cut_at = data[: hub.cut_at], 0
                    self.close_connection = True
                self.wfile.write(data)

        return Handler

    def info(self) -> dict[str, object]:
        """Return what the hub says of the model."""
        return {
            'id': self.name,
            'sha': REVISION,
            'siblings': [
                {'rfilename': file.name, 'size': file.stat().st_size}
                for file in sorted(self.folder.iterdir())
            ],
        }
