# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Faults of the program that were caught while a stream was served, and what they have damaged."""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import threading
import traceback

from streamvlm_ros.engine.errors import as_stream_error, ErrorCode
from streamvlm_ros.engine.models.prompt import Place
from streamvlm_ros.engine.serving.inference import VideoStreamingInference
from streamvlm_ros.engine.serving.metrics import Counters
from streamvlm_ros.engine.stream.stream import FrameStream

# After so many faults of the program in a row, with no success between them, the memory is
# emptied: the cause may lie in it.
FAULTS_UNTIL_RESET = 3
MOST_LOGGED = 100  # different faults whose tracebacks are logged


class StreamFaults:
    """Counts the faults of one stream, logs each different one once, and mends the stream.

    The stream keeps its memory, unless that is damaged or one fault follows another.

    Attributes:
        in_a_row: faults since something has last succeeded.

    """

    def __init__(
        self,
        engine: VideoStreamingInference,
        counters: Counters,
        lock: threading.Condition,
        log: Callable[[str], object],
        on_reset: Callable[[], object],
    ) -> None:
        """Watch over the stream of ``engine``.

        Args:
            engine: is reset when its memory cannot be kept.
            counters: where faults are counted; ``lock`` guards them.
            lock: of the counters.
            log: takes a traceback.
            on_reset: called after a reset.

        """
        self._engine, self._stream = engine, engine.stream
        self._counters, self._lock, self._log = counters, lock, log
        self._on_reset = on_reset
        self._logged: set[str] = set()
        self.in_a_row = 0

    def caught(self, error: BaseException) -> None:
        """Deal with a fault of the program."""
        self.in_a_row += 1
        self._mend(error, empty=self.in_a_row % FAULTS_UNTIL_RESET == 0)

    def ended_request(self, error: BaseException) -> None:
        """Deal with what has ended a request, if it is a fault or has damaged the memory.

        However many come, the memory stays if it is whole.
        """
        if self.is_fault(error):
            self._mend(error, empty=False)

    def is_fault(self, error: BaseException) -> bool:
        """Tell whether an error is a fault of the program, or has damaged the memory."""
        return as_stream_error(error).code is ErrorCode.INTERNAL or not self._is_whole()

    def _mend(self, error: BaseException, empty: bool) -> None:
        text = str(as_stream_error(error))
        trace = ''.join(traceback.format_exception(error))
        with self._lock:
            self._counters.internal_faults += 1
            self._counters.fault(f'A fault of the program was caught: {text}')
        if trace not in self._logged and len(self._logged) < MOST_LOGGED:
            self._logged.add(trace)
            with contextlib.suppress(BaseException):
                self._log(f'A fault of the program was caught; please report it.\n{trace}')
        if empty or not self._is_whole():
            self._engine.reset()
            with self._lock:
                self._counters.memory_losses += 1
                self._counters.fault(
                    f'The memory was emptied after a fault of the program ({text}); '
                    'the stream goes on from here.'
                )
            self._on_reset()

    def _is_whole(self) -> bool:
        return is_whole(self._stream, self._engine.settings.chunk_frames)


def is_whole(stream: FrameStream, chunk_frames: int) -> bool:
    """Tell whether what is known of a stream fits together; it always does, except after a fault.

    Args:
        stream: the stream.
        chunk_frames: frames of its chunks.

    """
    entries, state = stream.cache.entries, stream.state
    newest = entries[-1].positions if entries else None
    return (
        not stream.rebasing.damaged
        and stream.cache.length == state.length == sum(entry.tokens for entry in entries)
        and (newest is None or int(newest.max()) <= state.last_cache_position)
        and all(entry.positions is not None for entry in entries)
        and len(stream.pending) + stream.left_out < chunk_frames
        and bool(stream.frames) == (stream.newest is not None)
        and (stream.place is Place.NOTHING) == (not entries)
    )
