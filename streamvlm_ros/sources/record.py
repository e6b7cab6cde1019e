# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What has become of a source's pictures: counted, and told."""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import logging
import threading

_LOG = logging.getLogger('streamvlm_ros.sources')


@dataclasses.dataclass(frozen=True)
class SourceStatus:
    """What has become of a source's pictures so far.

    Attributes:
        state: 'open' (not read yet), 'running', 'lost' (being opened again), or 'ended'.
        frames: handed out, or waiting in the buffer.
        sampled_out: left out by sample_rate.
        dropped: of a live source, because the program took the frames too slowly.
        broken: could not be decoded.
        late: left out, because their stamps were not newer than the one before.
        reconnects: how often the source was lost and found again.
        gap_seconds: without pictures, all these gaps together.
        clock_jumps: how often the source's clock was wrong by more than 10 s.
        last_fault: the newest fault as a sentence; '' if there was none.

    """

    state: str = 'open'
    frames: int = 0
    sampled_out: int = 0
    dropped: int = 0
    broken: int = 0
    late: int = 0
    reconnects: int = 0
    gap_seconds: float = 0.0
    clock_jumps: int = 0
    last_fault: str = ''


class Record:
    """The status as it changes; any thread may call it."""

    def __init__(self, on_event: Callable[[str], object] | None) -> None:
        """Begin with nothing; `on_event` takes every sentence that is told."""
        self._on_event = on_event
        self._lock = threading.Lock()
        self.status = SourceStatus()

    def count(self, **more: float) -> None:
        """Add to the counters of these names."""
        with self._lock:
            before = self.status
            after = {name: getattr(before, name) + number for name, number in more.items()}
            self.status = dataclasses.replace(before, **after)

    def enter(self, state: str) -> None:
        """Take a state of `SourceStatus`."""
        with self._lock:
            self.status = dataclasses.replace(self.status, state=state)

    def fault(self, sentence: str, *, is_told: bool = True) -> None:
        """Note a fault, and tell it."""
        with self._lock:
            self.status = dataclasses.replace(self.status, last_fault=sentence)
        if is_told:
            self.tell(sentence)

    def tell(self, sentence: str) -> None:
        """Tell a sentence to the log and to the program."""
        _LOG.warning(sentence)
        if self._on_event is None:
            return
        try:
            self._on_event(sentence)
        except Exception:  # of the program: the source goes on
            _LOG.exception('on_event has failed')
