# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Samples and decodes one camera's messages for the worker, in a thread of its own.

A 1080p JPEG takes 16 ms, half the time between two images at 30 Hz; in the executor's thread it
would block every service and goal, and images would be lost while it decodes.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
import threading
from typing import Any

from streamvlm_ros.engine import StreamWorker
from streamvlm_ros.nodes.faults import Faults
from streamvlm_ros.nodes.images.images import Frame, ImageError
from streamvlm_ros.nodes.texts import sentence
from streamvlm_ros.stamps import to_nanoseconds

OVERHEAD = 1024  # bytes that a message takes besides its texts and its data
TOO_FAST = 'Images come faster than they can be decoded; the oldest waiting ones are dropped.'


class Decoder:
    """Decodes in the order of arrival what sampling takes, and hands it to the worker."""

    def __init__(
        self,
        worker: StreamWorker,
        decode: Callable[[Any], Frame],
        warn: Callable[[str], Any],
        faults: Faults,
        most_bytes: int,
        store: Callable[[Frame, int, str], object],
    ) -> None:
        """Start the thread.

        Args:
            worker: takes the frames, and counts every message.
            decode: turns a message into a frame, or raises ImageError.
            warn: called in the thread with the reason why a message was not decoded.
            faults: counts faults of the program.
            most_bytes: of messages that may wait; one may always.
            store: is given every frame that the worker gets, with its stamp and frame_id.

        """
        self._worker, self._decode, self._warn = worker, decode, warn
        self._faults, self._most_bytes, self._store = faults, most_bytes, store
        self._wake = threading.Condition()
        self._waiting: collections.deque[Any] = collections.deque()
        self._bytes = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name='decoding', daemon=True)
        self._thread.start()

    def put(self, msg: Any) -> None:
        """Queue a message; if the queue is full, drop the oldest one and count it."""
        dropped = 0
        with self._wake:
            self._waiting.append(msg)
            self._bytes += _bytes_of(msg)
            while self._bytes > self._most_bytes and len(self._waiting) > 1:
                self._bytes -= _bytes_of(self._waiting.popleft())
                dropped += 1
            self._wake.notify()
        for _ in range(dropped):
            self._worker.count_dropped(TOO_FAST)

    def close(self) -> None:
        """End the thread; forget waiting messages, as DDS forgets those of a subscription."""
        with self._wake:
            self._closed = True
            self._waiting.clear()
            self._wake.notify()
        self._thread.join()

    def _next(self) -> Any:
        with self._wake:
            self._wake.wait_for(lambda: self._closed or self._waiting)
            if self._closed:
                return None
            msg = self._waiting.popleft()
            self._bytes -= _bytes_of(msg)
            return msg

    def _run(self) -> None:
        while (msg := self._next()) is not None:
            try:
                self._take(msg)
            except Exception as error:
                # Whatever it is, the next image must still be read. This one may have reached the
                # worker, which then counts it.
                self._faults.caught(error, 'Taking an image')

    def _take(self, msg: Any) -> None:
        stamp = to_nanoseconds(msg.header.stamp)
        # Asked after every earlier frame, so that sampling is the same as without a queue.
        if self._worker.leave_out(stamp):
            return
        try:
            frame = self._decode(msg)
        except Exception as error:
            is_known = isinstance(error, ImageError)
            fault = error if is_known else self._faults.caught(error, 'Decoding an image')
            self._worker.count_failed(sentence(str(fault)))
            self._warn(str(fault))
        else:
            self._worker.submit_frame(frame, stamp, msg.header.frame_id)
            self._store(frame, stamp, msg.header.frame_id)


def _bytes_of(msg: Any) -> int:
    """Return what a message takes while it waits, about."""
    texts = len(msg.header.frame_id) + len(getattr(msg, 'encoding', getattr(msg, 'format', '')))
    return len(msg.data) + texts + OVERHEAD
