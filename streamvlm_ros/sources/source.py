# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A source of frames: read in a thread of its own, buffered, stamped, opened again when lost."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
import dataclasses
import threading
import time
from types import TracebackType

from streamvlm_ros.errors import SourceError
from streamvlm_ros.sources.address import shown
from streamvlm_ros.sources.clock import Sampler, StampClock
from streamvlm_ros.sources.reader import Reader
from streamvlm_ros.sources.record import Record, SourceStatus
from streamvlm_ros.sources.video import Picture
from streamvlm_ros.stamps import NANOSECONDS

FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0  # seconds before a lost source is opened again
HANG_TIME = 5.0  # seconds beyond the time-out after which a thread is given up
JOIN_TIME = 1.0  # seconds that `close` waits for the thread
STALE_TIME = 2.0  # seconds after which a connection that nothing has read is made anew
LOOK_TIME = 1.0  # seconds between two looks whether the thread hangs


@dataclasses.dataclass(frozen=True)
class Options:
    """How a source is read.

    Attributes:
        sample_rate: frames a second, by their stamps; 0: every frame.
        own_pace: of a recording: at the pace at which it was recorded, not as fast as it goes.
        buffer_frames: that may wait for the program.
        timeout: seconds without a picture after which a live source is lost.
        start_ns: stamp of a recording's first frame; None: the time of day.
        on_event: called, in any thread, with each sentence about a fault, a loss, a gap.

    """

    sample_rate: float = 0.0
    own_pace: bool = False
    buffer_frames: int = 8
    timeout: float = 10.0
    start_ns: int | None = 0
    on_event: Callable[[str], object] | None = None


class _OverError(Exception):
    """The thread is to end: the source was closed, or the thread was given up."""


class Source:
    """Yields (stamp_ns, RGB uint8 [height, width, 3]), with stamps that grow strictly.

    A live source never waits for the program: when the buffer is full, the oldest frame is
    dropped and counted. A recording waits for the program, unless it is played at its own pace.
    Use it in a `with` block. One thread at a time may take its frames; any may call the rest.

    Attributes:
        name: the source's address, without its password.
        is_live: it is a camera: lost for a while when it ends, and then opened again.

    """

    def __init__(
        self, name: str, connect: Callable[[], Reader], options: Options | None = None
    ) -> None:
        """Open it.

        Args:
            name: of the source, for sentences.
            connect: opens it, the first time and whenever it was lost.
            options: how to read it.

        Raises:
            SourceError: it cannot be opened.

        """
        self.name, self._connect = name, connect
        self._options = options or Options()
        reader = connect()
        self._unread: Reader | None = reader
        self._opened = time.monotonic()
        self.is_live = reader.is_live
        self._clock = StampClock(
            is_live=reader.is_live,
            has_stamps=reader.has_stamps,
            start_ns=self._options.start_ns,
        )
        self._sampler = Sampler(self._options.sample_rate)
        self._record = Record(self._options.on_event)
        # A recording that is read as fast as it goes waits for who takes its frames.
        self._waits = not self.is_live and not self._options.own_pace
        self._change = threading.Condition()
        self._buffer: collections.deque[tuple[int, Picture]] = collections.deque()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._has_ended, self._fatal = False, ''
        self._stamp = 0  # of the picture that is being converted
        self._busy_since: float | None = None  # when a call of the reader began that is not over
        self._is_lost = False
        self._told = ''  # why it was lost
        self._began: tuple[float, int] | None = None  # when and with which stamp playing began

    def __iter__(self) -> Iterator[tuple[int, Picture]]:
        """Yield the frames until the recording ends, or `close`.

        Raises:
            SourceError: a recording cannot be read on; never of a live source.

        """
        while (frame := self.read()) is not None:
            yield frame

    def read(self, timeout: float | None = None) -> tuple[int, Picture] | None:
        """Return the next frame; None: the source has ended or is closed, or none came in time.

        Args:
            timeout: seconds to wait; None: until there is one.

        Raises:
            SourceError: as iterating does.

        """
        self._start()
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._change:
                if self._closed.is_set():
                    return None
                if self._buffer:
                    frame = self._buffer.popleft()
                    self._change.notify_all()
                    return frame
                if self._has_ended:
                    if self._fatal:
                        raise SourceError(self._fatal)
                    return None
                left = LOOK_TIME if deadline is None else deadline - time.monotonic()
                if left <= 0.0:
                    return None
                self._change.wait(min(left, LOOK_TIME))
            self._give_up_hanging()

    def status(self) -> SourceStatus:
        """Return what has become of its pictures so far."""
        return self._record.status

    def close(self) -> None:
        """End it, also from another thread; iterating ends. May be called again."""
        self._closed.set()
        with self._change:
            self._change.notify_all()
            thread, (reader, self._unread) = self._thread, (self._unread, None)
        self._record.enter('ended')
        if reader is not None:
            reader.close()
        if thread is not None and thread is not threading.current_thread():
            # It closes its reader itself: FFmpeg may not be closed while it reads.
            thread.join(JOIN_TIME)

    def __enter__(self) -> Source:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def _start(self) -> None:
        with self._change:
            if self._thread is not None or self._closed.is_set():
                return
            reader, self._unread = self._unread, None
            # What a camera has sent since, while a model was loaded, is old.
            is_stale = self.is_live and time.monotonic() - self._opened > STALE_TIME
            if reader is not None and is_stale:
                reader.close()
                reader = None
            self._begin_thread(reader)

    def _begin_thread(self, reader: Reader | None) -> None:
        self._busy_since = time.monotonic()
        self._thread = threading.Thread(
            target=self._run, args=(reader,), name='source', daemon=True
        )
        self._record.enter('running')
        self._thread.start()

    def _run(self, reader: Reader | None) -> None:
        """Read until the end; a live source is opened again whenever it is lost."""
        delay = FIRST_DELAY
        while not self._is_over():
            before = self._record.status.frames
            fault, is_fatal = '', True
            try:
                if reader is None:
                    self._set_busy(True)
                    reader = self._connect()
                self._pump(reader)
                fault, is_fatal = reader.fault, False
            except _OverError:
                pass
            except SourceError as error:
                fault = str(error)
            except Exception as error:  # of a decoder or driver, whatever it is
                fault = f'{self.name} cannot be read: {shown(repr(error))}.'
            self._set_busy(False)
            if reader is not None:
                reader.close()
                reader = None
            if self._is_over():
                return
            if not self.is_live:
                self._end(fault, is_fatal)
                return
            if self._record.status.frames > before:
                delay = FIRST_DELAY
            self._lose(fault or f'{self.name} has ended.', delay)
            self._closed.wait(delay)
            delay = min(2 * delay, LONGEST_DELAY)

    def _is_over(self) -> bool:
        """Tell whether this thread is to end: the source is closed, or it was given up."""
        return self._closed.is_set() or threading.current_thread() is not self._thread

    def _set_busy(self, is_busy: bool) -> None:
        if not self._is_over():
            self._busy_since = time.monotonic() if is_busy else None

    def _pump(self, reader: Reader) -> None:
        """Move pictures from a reader into the buffer."""
        broken = 0
        self._set_busy(True)
        for picture in reader.frames(self._wanted):
            self._put(picture)
            broken = self._note_broken(reader, broken)
            self._set_busy(True)
        self._note_broken(reader, broken)

    def _put(self, picture: Picture) -> None:
        self._set_busy(False)
        dropped = 0
        with self._change:
            full = self._options.buffer_frames
            while self._waits and len(self._buffer) >= full and not self._is_over():
                self._change.wait()
            if self._is_over():
                raise _OverError
            while len(self._buffer) >= full:
                self._buffer.popleft()
                dropped += 1
            self._buffer.append((self._stamp, picture))
            self._change.notify_all()
        self._record.count(frames=1, dropped=dropped)

    def _wanted(self, own_ns: int | None) -> bool:
        """Stamp the reader's next picture; return whether it is to be converted."""
        if self._is_over():
            raise _OverError
        self._set_busy(False)
        before, jumps = self._clock.newest, self._clock.jumps
        stamp = self._clock.stamp(own_ns, time.time_ns())
        if stamp is None:
            self._record.count(late=1)
            self._set_busy(True)
            return False
        if self._is_lost:
            self._find_again(0.0 if before is None else (stamp - before) / NANOSECONDS)
        if self._clock.jumps > jumps:
            self._record.count(clock_jumps=1)
            self._record.fault(f'The clock of {self.name} has jumped; its stamps begin anew.')
        takes = self._sampler.takes(stamp)
        if not takes:
            self._record.count(sampled_out=1)
        elif self._options.own_pace and not self.is_live:
            self._wait_for(stamp)
        self._stamp = stamp
        self._set_busy(True)
        return takes

    def _wait_for(self, stamp: int) -> None:
        """Wait until a recording's picture is due."""
        if self._began is None:
            self._began = time.monotonic(), stamp
        began, first = self._began
        due = began + (stamp - first) / NANOSECONDS
        if self._closed.wait(max(0.0, due - time.monotonic())):
            raise _OverError

    def _note_broken(self, reader: Reader, broken: int) -> int:
        """Count what a reader could not decode since it had counted `broken`."""
        now = reader.broken
        if now > broken:
            self._record.count(broken=now - broken)
            # The first one of a connection is told; the status has the others.
            self._record.fault(reader.fault, is_told=not broken)
        return now

    def _lose(self, fault: str, delay: float) -> None:
        if not self._is_lost:
            self._is_lost, self._told = True, ''
            self._clock.restart()
        self._record.enter('lost')
        self._record.fault(fault, is_told=False)
        if fault != self._told:
            self._told = fault
            self._record.tell(f'{fault} It is opened again in {delay:g} s.')

    def _find_again(self, gap: float) -> None:
        """Tell that a lost source is back, after so many seconds between two stamps."""
        self._is_lost = False
        self._record.count(reconnects=1, gap_seconds=gap)
        self._record.enter('running')
        self._record.tell(f'{self.name} is back; its pictures have a gap of {gap:.1f} s.')

    def _give_up_hanging(self) -> None:
        """Leave a thread alone that a decoder or driver does not return to."""
        limit = self._options.timeout + HANG_TIME
        with self._change:
            since = self._busy_since
            if since is None or time.monotonic() - since < limit or self._has_ended:
                return
            fault = f'Reading {self.name} has not come back for {limit:g} s and was given up.'
            if self.is_live:
                self._is_lost = True
                self._clock.restart()
                self._begin_thread(None)
                self._record.enter('lost')
        if self.is_live:
            self._record.fault(fault)
        else:
            self._thread = threading.current_thread()  # the other one is over with that
            self._end(fault, is_fatal=True)

    def _end(self, fault: str, is_fatal: bool) -> None:
        self._record.enter('ended')
        if fault and fault != self._record.status.last_fault:
            self._record.fault(fault, is_told=not is_fatal)  # a fatal one is raised
        with self._change:
            self._has_ended, self._fatal = True, fault if is_fatal else ''
            self._change.notify_all()
