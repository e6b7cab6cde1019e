# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whose turn it is on the accelerator: frames or answers, of which stream, and for how long."""

from __future__ import annotations

import collections
from collections.abc import Collection, Iterator
import contextlib
import enum
import time
from typing import Generic, Protocol, TypeVar

import torch

from streamvlm_ros.engine.errors import ErrorCode, StreamError

T = TypeVar('T')
# How many turns in a row the first of the two may have while the other waits.
FRAME_TURNS_IN_A_ROW = 4
ANSWER_TURNS_IN_A_ROW = 32


class Policy(enum.Enum):
    """What goes first when frames and answers both wait.

    A frame turn is at most one chunk of one stream's waiting frames, with the watches' scores
    after it; other streams' chunks may be encoded with it, which makes their turns shorter.  An
    answer turn opens at most one question and decodes one token of every open answer, whatever
    stream it is about.  If only one of the two waits, it has its turn at once.  While both wait:

    - ``frames_first``: frames, but every fifth turn is the answers': a decode step waits for at
      most 4 frame turns, so that an answer of n tokens takes at most 4 n frame turns and n of its
      own, however many frames come.
    - ``answers_first``: answers, but every 33rd turn is the frames': a chunk waits for at most
      32 answer turns, however many questions come.
    - ``balanced``: the one that has had less of the device since both began to wait.  Their shares
      then differ by no more than the longest turn either has had, so a decode step waits for at
      most one frame turn more than the time of the answer turn before it, and the same the other
      way round.  A turn that a GPU is not done with counts as much as the last one of its kind.
    """

    FRAMES_FIRST = 'frames_first'
    ANSWERS_FIRST = 'answers_first'
    BALANCED = 'balanced'

    @classmethod
    def named(cls, name: str) -> Policy:
        """Return the policy of that name.

        Raises:
            StreamError: INVALID_REQUEST; there is none.

        """
        try:
            return cls(name)
        except ValueError:
            names = ', '.join(policy.value for policy in cls)
            raise StreamError(
                ErrorCode.INVALID_REQUEST, f'policy is {name!r}; choose one of {names}.'
            ) from None


class Turn(enum.Enum):
    """What the worker does next."""

    FRAMES = enum.auto()
    ANSWERS = enum.auto()


class Clock(Protocol):
    """Times turns; one may still run on the device when the next begins."""

    def begin(self) -> None:
        """Begin a turn."""

    def end(self, turn: Turn) -> None:
        """End it: nothing more is launched for it."""

    def finished(self) -> Iterator[tuple[Turn, float]]:
        """Return the turns that are done and were not returned before, and their seconds."""

    def forget(self) -> None:
        """Forget all turns that have ended, whether they are done or not."""


class HostClock:
    """Times turns whose work is done when they end."""

    def __init__(self) -> None:
        """Begin with no turn."""
        self._done: list[tuple[Turn, float]] = []
        self._began = 0.0

    def begin(self) -> None:
        """See ``Clock``."""
        self._began = time.perf_counter()

    def end(self, turn: Turn) -> None:
        """See ``Clock``."""
        self._done.append((turn, time.perf_counter() - self._began))

    def finished(self) -> Iterator[tuple[Turn, float]]:
        """See ``Clock``."""
        done, self._done = self._done, []
        yield from done

    def forget(self) -> None:
        """See ``Clock``."""
        self._done.clear()


class DeviceClock:
    """Times turns on a GPU, by events in its stream, without waiting for them.

    Measured on the host, a decode step would also take the time of the chunk launched before it.
    """

    def __init__(self, device: torch.device) -> None:
        """Time what is launched on a device's current stream."""
        self._device = device
        self._running: collections.deque[tuple[Turn, torch.cuda.Event, torch.cuda.Event]] = (
            collections.deque()
        )
        self._began: torch.cuda.Event | None = None

    def begin(self) -> None:
        """See ``Clock``."""
        self._began = self._event()

    def end(self, turn: Turn) -> None:
        """See ``Clock``."""
        assert self._began is not None
        self._running.append((turn, self._began, self._event()))

    def finished(self) -> Iterator[tuple[Turn, float]]:
        """See ``Clock``."""
        while self._running and self._running[0][2].query():
            turn, began, ended = self._running.popleft()
            yield turn, began.elapsed_time(ended) / 1e3

    def forget(self) -> None:
        """See ``Clock``."""
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


class Scheduler:
    """Gives turns by a policy, which may be changed at any time.

    Attributes:
        policy: what goes first.
        clock: what times them.

    """

    def __init__(self, policy: Policy, clock: Clock) -> None:
        """Begin with no turn taken."""
        self.policy, self.clock = policy, clock
        self._both = False  # wait
        self._in_a_row = 0
        self._seconds = dict.fromkeys(Turn, 0.0)
        self._running = dict.fromkeys(Turn, 0)
        self._last = dict.fromkeys(Turn, 0.0)  # seconds of the last turn that is done

    def next(self, frames: bool, answers: bool) -> Turn | None:
        """Return whose turn it is, given what waits; None if nothing waits."""
        had_both, self._both = self._both, frames and answers
        if not self._both:
            self._count()
            return Turn.FRAMES if frames else Turn.ANSWERS if answers else None
        if not had_both:
            self._start_over()
        self._count()
        if self.policy is Policy.BALANCED:
            ahead = self._share(Turn.FRAMES) > self._share(Turn.ANSWERS)
            return Turn.ANSWERS if ahead else Turn.FRAMES
        first, second, most = Turn.FRAMES, Turn.ANSWERS, FRAME_TURNS_IN_A_ROW
        if self.policy is Policy.ANSWERS_FIRST:
            first, second, most = second, first, ANSWER_TURNS_IN_A_ROW
        turn = first if self._in_a_row < most else second
        self._in_a_row = self._in_a_row + 1 if turn is first else 0
        return turn

    @contextlib.contextmanager
    def timed(self, turn: Turn) -> Iterator[None]:
        """Count the time that a turn takes."""
        self.clock.begin()
        try:
            yield
        finally:
            self.clock.end(turn)
            self._running[turn] += 1

    def _count(self) -> None:
        """Count the turns that are done by now."""
        for turn, seconds in self.clock.finished():
            self._seconds[turn] += seconds
            self._last[turn] = seconds
            self._running[turn] -= 1

    def _share(self, turn: Turn) -> float:
        """Return the seconds that were had, and those that probably still run."""
        return self._seconds[turn] + self._running[turn] * self._last[turn]

    def _start_over(self) -> None:
        self.clock.forget()
        self._in_a_row = 0
        self._seconds = dict.fromkeys(Turn, 0.0)
        self._running = dict.fromkeys(Turn, 0)


class Pulse:
    """What a thread is doing, and when its round began; any thread may read it."""

    def __init__(self) -> None:
        """Begin at rest."""
        self._now = ('', 0.0)

    def begin(self) -> None:
        """Begin a round."""
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


class RoundRobin(Generic[T]):
    """Gives something that only one member can have at a time to all of them in turns.

    Each member that wants it gets it before another one gets it twice.
    """

    def __init__(self) -> None:
        """Begin with no member."""
        self._order: list[T] = []

    def join(self, member: T) -> None:
        """Add a member, last in the order."""
        self._order.append(member)

    def line(self, wanting: Collection[T]) -> list[T]:
        """Return the members that want it; the one that had it longest ago comes first."""
        return [member for member in self._order if member in wanting]

    def next(self, wanting: Collection[T]) -> T | None:
        """Return the first in line, and make it the last; None if no member wants it."""
        line = self.line(wanting)
        if not line:
            return None
        self._order.remove(line[0])
        self._order.append(line[0])
        return line[0]
