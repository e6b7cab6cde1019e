# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Writes the store in a thread of its own. Handing something in never waits for the disk.

What cannot be written is counted and said; every few seconds it is tried again, until the disk is
there, has room or is free.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
import contextlib
import dataclasses
import logging
import math
import sqlite3
import threading
import time
from typing import Any

import numpy as np

from streamvlm_ros.errors import ErrorCode, StreamError
from streamvlm_ros.store.moments import Forgotten, StoredAnswer, StoreError
from streamvlm_ros.store.poses import PoseSource
from streamvlm_ros.store.settings import StoreSettings
from streamvlm_ros.store.writing import WaitingAnswer, WaitingFrame, Writing

LOG = logging.getLogger(__name__)
QUEUE_FRAMES, QUEUE_BYTES = 64, 1 << 26
RETRY = 2.0  # seconds after a fault until it is tried again
TIDY = 0.5  # seconds between two looks at what is due
SLOW = 10.0  # seconds for which it is said that the disk is too slow
# What a full, slow, missing or damaged disk causes.
FAULTS = (OSError, sqlite3.Error, StoreError)


@dataclasses.dataclass(frozen=True)
class StoreStatus:
    """What the store tells about itself.

    Attributes:
        frames: in it.
        bytes: of its files.
        written: frames written by this process.
        thinned: frames left out because the scene was still.
        dropped: frames lost to a disk that is full, slow, gone or not writable.
        waiting: frames that wait to be written.
        unread: files that are not in the index yet.
        error: why nothing can be written now, and what to do; '': it can.

    """

    frames: int = 0
    bytes: int = 0
    written: int = 0
    thinned: int = 0
    dropped: int = 0
    waiting: int = 0
    unread: int = 0
    error: str = ''


@dataclasses.dataclass
class _Forget:
    """A request that waits for its turn."""

    since_ns: int
    until_ns: int
    future: Future[Forgotten]


_Item = WaitingFrame | WaitingAnswer | _Forget


class Recorder:
    """Takes frames and answers from any thread and writes them in its own."""

    def __init__(
        self,
        settings: StoreSettings,
        *,
        poses: PoseSource | None = None,
        is_simulated: Callable[[], bool] = lambda: False,
        log: Callable[[str], object] = LOG.warning,
        on_change: Callable[[], object] = lambda: None,
    ) -> None:
        """Start the thread.

        Args:
            settings: of the store.
            poses: where they come from; None: there are none.
            is_simulated: tells whether stamps are of the simulated /clock.
            log: called with a sentence about each new fault, and when it is over.
            on_change: called when the fault that the status tells is another one.

        """
        self.settings = settings
        self._writing = Writing(settings, poses, is_simulated)
        self._folder = self._writing.folder
        self._log, self._on_change = log, on_change
        self._wake = threading.Condition()
        self._queue: collections.deque[_Item] = collections.deque()
        self._bytes = 0
        self._in_hand = False  # a frame is out of the queue and not written yet
        self._closed = False
        self._status = StoreStatus()
        self._fault, self._retry_at, self._slow_until = '', 0.0, -math.inf
        self._thread = threading.Thread(target=self._run, name='store', daemon=True)
        self._thread.start()

    def put(self, image: np.ndarray, stamp_ns: int, frame_id: str = '', epoch: int = 0) -> None:
        """Hand a frame in; returns at once.

        Args:
            image: RGB uint8 [h, w, 3], which nobody changes any more.
            stamp_ns: its header stamp.
            frame_id: of the camera.
            epoch: number of the stream.

        """
        frame = WaitingFrame(image, stamp_ns, frame_id, epoch, time.time_ns(), time.monotonic())
        with self._wake:
            if self._closed:
                return
            self._queue.append(frame)
            self._bytes += image.nbytes
            self._keep_bounds()
            self._wake.notify()

    def put_answer(self, answer: StoredAnswer, epoch: int = 0) -> None:
        """Hand an answer in; otherwise as `put`."""
        with self._wake:
            if not self._closed and len(self._queue) < 4 * QUEUE_FRAMES:
                self._queue.append(WaitingAnswer(answer, epoch, time.time_ns()))
                self._wake.notify()

    def forget(self, since_ns: int, until_ns: int) -> Future[Forgotten]:
        """Take a time out of the store for good, after what waits now is written.

        Args:
            since_ns, until_ns: header stamps, both included; 0: the oldest, the newest.

        Returns:
            A future of what was taken out; its exception is a StreamError: INVALID_REQUEST, or
            FILE_ERROR if the disk fails, when it may be done in part.

        """
        future: Future[Forgotten] = Future()
        until_ns = until_ns or (1 << 63) - 1
        if not 0 <= since_ns <= until_ns:
            future.set_exception(
                StreamError(
                    ErrorCode.INVALID_REQUEST,
                    f'since ({since_ns / 1e9:g} s) is after until ({until_ns / 1e9:g} s); give '
                    'the earlier stamp first.',
                )
            )
            return future
        with self._wake:
            if self._closed:
                future.set_exception(_not_active())
            else:
                self._queue.append(_Forget(since_ns, until_ns, future))
                self._wake.notify()
        return future

    def status(self) -> StoreStatus:
        """Return what the store holds, and what is wrong with it; never waits for the disk."""
        with self._wake:
            slow = time.monotonic() < self._slow_until
            error = self._fault or (
                f'The disk of {self._folder.path} is too slow for these frames; some were lost. '
                'Store fewer (sample_rate), smaller (store_max_pixels) or lighter ones '
                '(store_jpeg_quality).'
                if slow
                else ''
            )
            waiting = sum(isinstance(item, WaitingFrame) for item in self._queue) + self._in_hand
            return dataclasses.replace(self._status, error=error, waiting=waiting)

    def close(self, timeout: float = 10.0) -> bool:
        """Write what waits, complete the open file and end the thread.

        Returns:
            Whether it has ended; if the disk hangs it ends when that does.

        """
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _keep_bounds(self) -> None:
        """Lose the oldest frames while more waits than may; with the lock held."""
        frames = [item for item in self._queue if isinstance(item, WaitingFrame)]
        for oldest in frames[:-1]:
            count = sum(isinstance(item, WaitingFrame) for item in self._queue)
            if count <= QUEUE_FRAMES and self._bytes <= QUEUE_BYTES:
                return
            self._queue.remove(oldest)
            self._bytes -= oldest.image.nbytes
            self._count(dropped=1)
            self._slow_until = time.monotonic() + SLOW

    def _run(self) -> None:
        tidied = 0.0
        while True:
            item = self._next()
            if item is None and self._closed and not self._queue:
                break
            if item is not None:
                self._guard(lambda item=item: self._write(item), item)  # type: ignore[misc]
            if time.monotonic() - tidied >= TIDY:
                self._guard(self._folder.tidy, None)
                tidied = time.monotonic()
            self._refresh()
        if self._folder.is_open:
            self._guard(self._folder.close, None)
        self._folder.abandon()
        self._refresh()

    def _next(self) -> _Item | None:
        """Return the oldest item that can be written; None: there is none for now."""
        with self._wake:
            if not self._queue:
                self._wake.wait_for(lambda: self._queue or self._closed, TIDY)
            if not self._queue:
                return None
            item = self._queue[0]
            if isinstance(item, WaitingFrame):
                patience = 0.0 if self._closed else self._writing.patience(item)
                if patience > 0:
                    # Until the pose after it comes; what else is due goes on meanwhile.
                    self._wake.wait(min(patience, 0.05))
                    return None
                self._bytes -= item.image.nbytes
                self._in_hand = True
            return self._queue.popleft()

    def _guard(self, work: Callable[[], None], item: _Item | None) -> None:
        """Do something with the disk; if it fails, say so and try again later."""
        try:
            if not self._folder.is_open:
                if time.monotonic() < self._retry_at:
                    raise StoreError(self._fault)
                self._writing.open()
            work()
        except Exception as error:
            if not isinstance(error, FAULTS):
                LOG.exception('A fault of the program in the store')
            if self._folder.is_open or time.monotonic() >= self._retry_at:
                self._retry_at = time.monotonic() + RETRY
            self._folder.abandon()
            self._lose(item, self._say(error))
        else:
            self._say(None)

    def _lose(self, item: _Item | None, why: str) -> None:
        if isinstance(item, _Forget):
            with contextlib.suppress(InvalidStateError):  # canceled
                item.future.set_exception(StreamError(ErrorCode.FILE_ERROR, why))
        elif isinstance(item, WaitingFrame):
            self._writing.start_over()
            with self._wake:
                self._count(dropped=1)

    def _say(self, error: Exception | None) -> str:
        """Note a fault, or that there is none any more; return it as a sentence."""
        path = self._folder.path
        if error is None:
            now = ''
        elif isinstance(error, StoreError):
            now = str(error)
        elif isinstance(error, OSError):
            now = (
                f'{path} cannot be written ({error.strerror or error}): make room, or make it '
                'writable.'
            )
        else:
            now = f'The index of {path} cannot be written ({error}): make room.'
        with self._wake:
            before, self._fault = self._fault, now
        if now != before:
            with contextlib.suppress(Exception):
                self._log(now or f'The store in {path} is written again.')
            with contextlib.suppress(Exception):
                self._on_change()
        return now

    def _write(self, item: _Item) -> None:
        if isinstance(item, _Forget):
            forgotten = self._folder.forget(item.since_ns, item.until_ns)
            self._writing.start_over()
            with contextlib.suppress(InvalidStateError):  # canceled
                item.future.set_result(forgotten)
        elif isinstance(item, WaitingAnswer):
            self._writing.write_answer(item)
        else:
            written = self._writing.write_frame(item)
            with self._wake:
                self._count(written=int(written), thinned=int(not written))

    def _refresh(self) -> None:
        folder = self._folder
        with self._wake:
            self._in_hand = False
            if folder.is_open:
                self._count(frames=folder.frames, bytes=folder.size, unread=len(folder.unread))

    def _count(self, **changes: Any) -> None:
        """Set what is given, and count the rest up; with the lock held."""
        known = self._status
        for name in ('written', 'thinned', 'dropped'):
            if name in changes:
                changes[name] += getattr(known, name)
        self._status = dataclasses.replace(known, **changes)


def _not_active() -> StreamError:
    return StreamError(ErrorCode.NOT_ACTIVE, 'The store is closed; start the node.')
