# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the worker counts, and the status that is made of it."""

from __future__ import annotations

import collections
from collections.abc import Iterable
import dataclasses
import time

from streamvlm_ros.engine.outputs import CacheInfo

RATE_WINDOW = 5.0  # seconds
MOST_TIMES = 5000  # remembered for a rate; so a rate above 1000 Hz is shown as 1000 Hz


@dataclasses.dataclass(frozen=True)
class WorkerStatus:
    """The stream as its worker sees it.

    ``frames_received`` is counted on its own, and always equals the sum of sampled out (or left
    out while paused), ingested, dropped, failed, late and waiting.  Stamps are in nanoseconds,
    rates in Hz over the last seconds; ``frame_age`` is the seconds from arrival to ingest of the
    newest frame.  Since the stream began ``chunks_alone`` went through the ViT alone, and
    ``chunks_together`` in one call with chunks of other streams.  ``stamp_jumps`` counts epochs
    that began because stamps went back, ``internal_faults`` the faults of the program that the
    model's thread has caught, and ``memory_losses`` those after which the memory was emptied.  All
    watches have ``watch_tokens``, and scoring them took ``watch_seconds`` after the newest chunk.
    The thread has been doing ``activity`` for ``activity_seconds``; an empty ``activity`` means
    that it is idle.
    """

    state: str
    epoch: int
    stamp_ns: int
    frame_id: str
    oldest_stamp_ns: int
    frames_received: int
    frames_sampled_out: int
    frames_ingested: int
    frames_dropped: int
    frames_failed: int
    frames_late: int
    frames_waiting: int
    input_rate: float
    ingest_rate: float
    frame_age: float
    cache_tokens: int
    cache_capacity: int
    evicted_tokens: int
    memory_bytes: int
    skipped_patches: int
    chunks_alone: int
    chunks_together: int
    pending_requests: int
    stamp_jumps: int
    internal_faults: int
    memory_losses: int
    watch_tokens: int
    watch_seconds: float
    activity: str
    activity_seconds: float
    last_error: str


class Counters:
    """What one stream's worker counts; only for the holder of the worker's lock.

    Attributes:
        arrivals: when the last messages came, on ``time.monotonic``.
        ingests: when the last frames reached the stream.

    """

    def __init__(self) -> None:
        """Start at zero."""
        self.received = 0
        self.sampled_out = 0
        self.late = 0
        self.ingested = 0
        self.dropped = 0
        self.failed = 0
        self.frame_age = 0.0
        self.chunks_alone = 0
        self.chunks_together = 0
        self.stamp_jumps = 0
        self.internal_faults = 0
        self.memory_losses = 0
        self.watch_tokens = 0
        self.watch_seconds = 0.0
        self.last_error = ''
        self.arrivals: collections.deque[float] = collections.deque(maxlen=MOST_TIMES)
        self.ingests: collections.deque[float] = collections.deque(maxlen=MOST_TIMES)

    def fault(self, message: str, *, dropped: int = 0, failed: int = 0) -> None:
        """Count frames that were lost, and say why."""
        self.dropped += dropped
        self.failed += failed
        self.last_error = message

    def status(
        self, state: str, info: CacheInfo, waiting: int, pending: int, activity: tuple[str, float]
    ) -> WorkerStatus:
        """Return a status of the counters and the stream's memory.

        Args:
            state: the stream's.
            info: what its memory holds.
            waiting: frames that are not in it yet, nor lost.
            pending: requests that have no answer yet.
            activity: what the thread is doing, and for how many seconds.

        """
        return WorkerStatus(
            state=state,
            epoch=info.epoch,
            stamp_ns=info.stamp_ns,
            frame_id=info.frame_id,
            oldest_stamp_ns=info.oldest_stamp_ns,
            frames_received=self.received,
            frames_late=self.late,
            frames_sampled_out=self.sampled_out,
            frames_ingested=self.ingested,
            frames_dropped=self.dropped,
            frames_failed=self.failed,
            frames_waiting=waiting,
            input_rate=_rate(self.arrivals),
            ingest_rate=_rate(self.ingests),
            frame_age=self.frame_age,
            cache_tokens=info.tokens,
            cache_capacity=info.capacity,
            evicted_tokens=info.evicted_tokens,
            memory_bytes=info.memory_bytes,
            skipped_patches=info.skipped_patches,
            chunks_alone=self.chunks_alone,
            chunks_together=self.chunks_together,
            pending_requests=pending,
            stamp_jumps=self.stamp_jumps,
            internal_faults=self.internal_faults,
            memory_losses=self.memory_losses,
            watch_tokens=self.watch_tokens,
            watch_seconds=self.watch_seconds,
            activity=activity[0],
            activity_seconds=activity[1],
            last_error=self.last_error,
        )


def _rate(times: Iterable[float]) -> float:
    """Return events a second over the last seconds."""
    begins = time.monotonic() - RATE_WINDOW
    return sum(moment >= begins for moment in times) / RATE_WINDOW
