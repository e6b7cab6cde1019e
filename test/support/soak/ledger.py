# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What has to hold of a node all the time: its statuses, and what it takes of the machine."""

from __future__ import annotations

import os
import pathlib
import statistics
import time

from streamvlm_ros.msg import StreamStatus

STATUS_PERIOD = 2.0  # seconds in which the next status comes
COUNTERS = (
    'frames_received',
    'frames_sampled_out',
    'frames_ingested',
    'frames_dropped',
    'frames_failed',
    'frames_late',
    'stamp_jumps',
    'internal_faults',
    'memory_losses',
    'epoch',
)
# What may come on top between the settled part and the end.
MORE_FILES, MORE_THREADS, MORE_MEGABYTES = 8, 4, 64


def slowness() -> float:
    """Return how many times longer things take here than on a machine at rest, at least 1."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


class StatusLedger:
    """Looks at every status.

    Attributes:
        faults: sentences, each told once.
        first, newest: the statuses.
        longest_gap: seconds between two.

    """

    def __init__(self) -> None:
        """Begin with none."""
        self.faults: dict[str, str] = {}
        self.first: StreamStatus | None = None
        self.newest: StreamStatus | None = None
        self.count = 0
        self.longest_gap = 0.0
        self._arrived = 0.0
        self._looked = time.monotonic()
        self._away = 0.0  # longest time since the newest status in which nobody looked here

    def take(self, status: StreamStatus) -> None:
        """Check a status by itself and against the one before."""
        now, before = time.monotonic(), self.newest
        if before is None:
            self.first = status
        else:
            self.longest_gap = max(self.longest_gap, now - self._arrived)
            for name in COUNTERS:
                if getattr(status, name) < getattr(before, name):
                    self._fault(
                        f'{name} went back',
                        f'from {getattr(before, name)} to {getattr(status, name)}',
                    )
        self.newest, self._arrived, self._away = status, now, 0.0
        self.count += 1
        parts = (
            status.frames_sampled_out
            + status.frames_ingested
            + status.frames_dropped
            + status.frames_failed
            + status.frames_late
            + status.frames_waiting
        )
        if parts != status.frames_received:
            self._fault(
                'the counters do not add up',
                f'{status.frames_received} received, {parts} accounted for',
            )
        if status.state == StreamStatus.ERROR:
            self._fault('the state is ERROR', status.last_error)
        for name in ('internal_faults', 'memory_losses'):
            if getattr(status, name):
                self._fault(f'{name} is not 0', f'{getattr(status, name)}: {status.last_error}')
        if len(status.header.frame_id) > 300 or len(status.last_error) > 2000:
            self._fault(
                'a text in the status has no bound',
                f'{len(status.header.frame_id)} and {len(status.last_error)} characters',
            )

    def look(self) -> None:
        """Check that a status has come lately; time in which nobody looked does not count."""
        now = time.monotonic()
        self._away, self._looked = max(self._away, now - self._looked), now
        silent = now - self._arrived
        if self.newest is not None and silent > STATUS_PERIOD * slowness() + self._away:
            self._fault('the status does not come', f'for {silent:.1f} s')

    def _fault(self, what: str, more: str) -> None:
        self.faults.setdefault(what, f'{what}: {more}')


class Resources:
    """Memory, descriptors and threads of a process over time."""

    def __init__(self, pid: int) -> None:
        """Begin with no sample."""
        self._folder = pathlib.Path(f'/proc/{pid}')
        self.samples: list[tuple[float, int, int, float]] = []
        self._due = 0.0

    def look(self) -> None:
        """Take a sample a second: when, descriptors, threads, resident megabytes."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + 1.0
        try:
            kilobytes = next(
                int(line.split()[1])
                for line in (self._folder / 'status').read_text().splitlines()
                if line.startswith('VmRSS')
            )
            self.samples.append(
                (
                    now,
                    len(list((self._folder / 'fd').iterdir())),
                    len(list((self._folder / 'task').iterdir())),
                    kilobytes / 1024,
                )
            )
        except (OSError, StopIteration):
            return  # it has just ended, which is told elsewhere

    def compared(self) -> dict[str, tuple[float, float]]:
        """Return of each the median when things had settled, and in the end."""
        number = len(self.samples)
        settled = self.samples[number // 3 : max(number // 3 + 1, number // 2)]
        end = self.samples[-max(1, number // 6) :]
        return {
            name: (
                statistics.median(each[i] for each in settled),
                statistics.median(each[i] for each in end),
            )
            for i, name in ((1, 'descriptors'), (2, 'threads'), (3, 'megabytes'))
        }

    def faults(self) -> list[str]:
        """Return what has grown by more than is allowed."""
        most = {'descriptors': MORE_FILES, 'threads': MORE_THREADS, 'megabytes': MORE_MEGABYTES}
        return [
            f'{name} grew from {before:.0f} to {after:.0f}, by more than {most[name]}'
            for name, (before, after) in self.compared().items()
            if after > before + most[name]
        ]
