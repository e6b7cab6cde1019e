# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the worker counts, and the status that is made of it."""

from __future__ import annotations

import collections
import dataclasses
import time

from streamvlm_ros.engine.outputs import CacheInfo

RATE_WINDOW = 5.0


@dataclasses.dataclass(frozen=True)
class WorkerStatus:
    """The stream as its worker sees it.

    ``frames_received`` is counted by itself, and always sampled out (or left out while paused) +
    ingested + dropped + failed + late + waiting.  Stamps are in nanoseconds, rates in Hz over the
    last seconds, ``frame_age`` in seconds from arrival to ingest of the newest frame.  Since the
    stream began ``chunks_alone`` went through the ViT by themselves, ``chunks_together`` in one
    call with other streams'.
    ``stamp_jumps`` are epochs begun because stamps went back, ``internal_faults`` faults of the
    program that the model's thread has caught, ``memory_losses`` those that cost the memory.  The
    watches together have ``watch_tokens``, and took ``watch_seconds`` after the newest chunk.  The
    thread has been doing ``activity`` for ``activity_seconds``; it is idle where that is empty.
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


class _Rate:
    """Events a second over the last seconds."""

    def __init__(self) -> None:
        self._times: collections.deque[float] = collections.deque()

    def tick(self) -> None:
        now = time.monotonic()
        self._times.append(now)
        self._forget(now)

    def value(self) -> float:
        self._forget(time.monotonic())
        return len(self._times) / RATE_WINDOW

    def _forget(self, now: float) -> None:
        while self._times and self._times[0] < now - RATE_WINDOW:
            self._times.popleft()


class Pulse:
    """What a thread is doing, and since when it has not come round; any thread may read it."""

    def __init__(self) -> None:
        """Begin at rest."""
        self._now = ('', 0.0)

    def begin(self) -> None:
        """Come round."""
        self._now = ('looking for work', time.monotonic())

    def doing(self, what: str) -> None:
        """Say what is being done in this round."""
        self._now = (what, self._now[1])

    def rest(self) -> None:
        """Say that nothing is done."""
        self._now = ('', 0.0)

    def read(self) -> tuple[str, float]:
        """Return what is being done, and for how many seconds the round has lasted."""
        what, since = self._now
        return what, time.monotonic() - since if what else 0.0


class Counters:
    """The worker's counters; whoever holds the worker's lock may touch them."""

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
        self._last_arrival = 0.0
        self._input = _Rate()
        self._ingest = _Rate()

    def arrived(self) -> None:
        """Count a message in."""
        self.received += 1
        self._last_arrival = time.monotonic()
        self._input.tick()

    def leave_out(self) -> None:
        """Count a message in that is left out on purpose."""
        self.arrived()
        self.sampled_out += 1

    def silent_for(self, seconds: float) -> bool:
        """Tell whether no message has come for so long, on a steady clock."""
        return time.monotonic() - self._last_arrival > seconds

    def ingest(self, age: float) -> None:
        """Count a frame that reached the stream, ``age`` seconds after it came."""
        self.ingested += 1
        self.frame_age = age
        self._ingest.tick()

    def fault(self, message: str, *, dropped: int = 0, failed: int = 0) -> None:
        """Count frames that were lost, and say why."""
        self.dropped += dropped
        self.failed += failed
        self.last_error = message

    def status(
        self, state: str, info: CacheInfo, waiting: int, pending: int, pulse: Pulse
    ) -> WorkerStatus:
        """Return a status of the counters and the stream's memory."""
        activity, activity_seconds = pulse.read()
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
            input_rate=self._input.value(),
            ingest_rate=self._ingest.value(),
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
            activity=activity,
            activity_seconds=activity_seconds,
            last_error=self.last_error,
        )
