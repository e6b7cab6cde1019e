# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How long turns take where the work is done: on a GPU that is not where it is launched."""

from __future__ import annotations

import collections
from collections.abc import Iterator
import time

import torch

from streamvlm_ros.engine.serving.scheduler import Turn


class HostClock:
    """Times turns whose work is done when they end."""

    def __init__(self) -> None:
        """Begin without any."""
        self._done: list[tuple[Turn, float]] = []
        self._began = 0.0

    def begin(self) -> None:
        """See ``policy.Clock``."""
        self._began = time.perf_counter()

    def end(self, turn: Turn) -> None:
        """See ``policy.Clock``."""
        self._done.append((turn, time.perf_counter() - self._began))

    def finished(self) -> Iterator[tuple[Turn, float]]:
        """See ``policy.Clock``."""
        done, self._done = self._done, []
        yield from done

    def forget(self) -> None:
        """See ``policy.Clock``."""
        self._done.clear()


class DeviceClock:
    """Times turns on a GPU, by events in its stream; nobody waits for them.

    By the host's time a decode step would take what the chunk takes that it was launched behind.
    """

    def __init__(self, device: torch.device) -> None:
        """Time what is launched on a device's current stream."""
        self._device = device
        self._running: collections.deque[tuple[Turn, torch.cuda.Event, torch.cuda.Event]] = (
            collections.deque()
        )
        self._began: torch.cuda.Event | None = None

    def begin(self) -> None:
        """See ``policy.Clock``."""
        self._began = self._event()

    def end(self, turn: Turn) -> None:
        """See ``policy.Clock``."""
        assert self._began is not None
        self._running.append((turn, self._began, self._event()))

    def finished(self) -> Iterator[tuple[Turn, float]]:
        """See ``policy.Clock``."""
        while self._running and self._running[0][2].query():
            turn, began, ended = self._running.popleft()
            yield turn, began.elapsed_time(ended) / 1e3

    def forget(self) -> None:
        """See ``policy.Clock``."""
        self._running.clear()

    def _event(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event


def clock_for(devices: set[torch.device]) -> HostClock | DeviceClock:
    """Return a clock for a model whose parameters are on these devices.

    On several GPUs the host launches every kernel and is what turns take.
    """
    if len(devices) == 1:
        [device] = devices
        if device.type == 'cuda':
            return DeviceClock(device)
    return HostClock()
