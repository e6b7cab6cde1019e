# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What turns take, on the host and on a device that is behind it."""

from __future__ import annotations

import pytest
import torch

from streamvlm_ros.engine.serving import scheduler
from streamvlm_ros.engine.serving.scheduler import Turn


class Device:
    """A GPU's stream: what is launched takes its time, one thing behind the other."""

    def __init__(self) -> None:
        self.host = self.free = 0.0

    def launch(self, seconds: float) -> None:
        """Take so long, once what was launched before is done; the host goes on."""
        self.free = max(self.free, self.host) + seconds

    def event(self, enable_timing: bool) -> Event:
        """Return what stands for a CUDA event."""
        assert enable_timing
        return Event(self)


class Event:
    """Is there once the device has come to it."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def record(self, stream: object) -> None:
        self.at = max(self._device.free, self._device.host)

    def query(self) -> bool:
        return self._device.host >= self.at

    def elapsed_time(self, later: Event) -> float:
        return 1e3 * (later.at - self.at)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    made = Device()
    monkeypatch.setattr(torch.cuda, 'Event', made.event)
    monkeypatch.setattr(torch.cuda, 'current_stream', lambda device: None)
    return made


def test_a_turn_takes_what_was_launched_in_it(device: Device) -> None:
    """A decode step behind a chunk takes its own time, and is counted when it is done."""
    clock = scheduler.clock_for({torch.device('cuda', 0)})
    for turn, seconds in ((Turn.FRAMES, 20.0), (Turn.ANSWERS, 5.0), (Turn.ANSWERS, 6.0)):
        clock.begin()
        device.launch(seconds)
        clock.end(turn)
    assert list(clock.finished()) == []
    device.host = 25.0
    assert list(clock.finished()) == [(Turn.FRAMES, 20.0), (Turn.ANSWERS, 5.0)]
    device.host = 31.0
    assert list(clock.finished()) == [(Turn.ANSWERS, 6.0)]
    assert list(clock.finished()) == []


def test_what_runs_can_be_forgotten(device: Device) -> None:
    clock = scheduler.clock_for({torch.device('cuda', 1)})
    clock.begin()
    device.launch(1.0)
    clock.end(Turn.FRAMES)
    clock.forget()
    device.host = 2.0
    assert list(clock.finished()) == []


@pytest.mark.parametrize('devices', [['cpu'], ['cuda:0', 'cuda:1'], ['cuda:0', 'cpu']])
def test_else_the_host_is_what_turns_take(
    devices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = scheduler.clock_for({torch.device(each) for each in devices})
    times = iter((1.0, 3.0, 10.0, 10.5, 20.0, 21.0))
    monkeypatch.setattr(scheduler.time, 'perf_counter', lambda: next(times))
    for turn in (Turn.FRAMES, Turn.ANSWERS):
        clock.begin()
        clock.end(turn)
    assert list(clock.finished()) == [(Turn.FRAMES, 2.0), (Turn.ANSWERS, 0.5)]
    clock.begin()
    clock.end(Turn.ANSWERS)
    clock.forget()
    assert list(clock.finished()) == []
