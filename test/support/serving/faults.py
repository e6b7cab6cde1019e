# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A worker whose calls of the engine can be made to fail, one by one.

A proxy stands before the engine: it notes every call of the worker and fails the planned one.
"""

from __future__ import annotations

from concurrent.futures import Future
import functools
import time
from typing import Any

from support.models.random_models import random_clip
from support.streams import stream

from streamvlm_ros.engine import StreamWorker
from streamvlm_ros.engine.serving.faults import is_whole

CHOICES = ('yes', 'no', 'left of the door')


FRAMES = random_clip(1, 24, 56, 56)


TIMEOUT = 60.0


# What hangs below the engine, and is the worker's to call too.
BELOW = ('questions', 'standing', 'stream')


class FaultError(Exception):
    """Raised where the test wants it."""


class Plan:
    """Which call is to fail: the next one of a name, before it does anything or after it."""

    def __init__(self) -> None:
        """Fail nowhere, and note every name that is used."""
        self.seen: set[str] = set()
        self.name, self.after, self.times, self.raised = '', False, 0, 0
        self.kind: type[BaseException] = FaultError

    def arm(
        self, name: str, after: bool, times: int = 1, kind: type[BaseException] = FaultError
    ) -> None:
        """Let the next calls of a name fail."""
        self.name, self.after, self.times, self.kind = name, after, times, kind

    def passes(self, name: str, work: Any) -> Any:
        """Do some work under a name, or fail before or after it."""
        self.seen.add(name)
        fails = name == self.name and self.times > 0
        if fails:
            self.times -= 1
            self.raised += 1
        if fails and not self.after:
            raise self.kind(name)
        result = work()
        if fails:
            raise self.kind(name)
        return result


class Proxy:
    """Stands before an object: every call of a method or read of a property is planned."""

    def __init__(self, target: Any, plan: Plan, prefix: str) -> None:
        """Stand before ``target``."""
        self.__dict__.update(_target=target, _plan=plan, _prefix=prefix)

    def __getattr__(self, name: str) -> Any:
        """Return the target's, planned."""
        full = f'{self._prefix}.{name}'
        if isinstance(getattr(type(self._target), name, None), property):
            return self._plan.passes(full, lambda: getattr(self._target, name))
        value = getattr(self._target, name)
        if name in BELOW:
            return Proxy(value, self._plan, name)
        if not callable(value) or name == 'model':
            return value

        @functools.wraps(value)
        def call(*args: Any, **kwargs: Any) -> Any:
            return self._plan.passes(full, lambda: value(*args, **kwargs))

        return call


class Scene:
    """A worker on a proxied engine, beside another stream in the same thread."""

    def __init__(self) -> None:
        """Begin; nothing fails yet."""
        self.plan = Plan()
        self.engine = stream(chunk_frames=4, capacity=140)
        self.events: list = []
        self.logged: list[str] = []
        callback = self._callback
        self.worker = StreamWorker(
            Proxy(self.engine, self.plan, 'engine'),  # type: ignore[arg-type]
            log=self.logged.append,
            on_change=lambda: callback('on_change'),
            on_watch_event=lambda event: callback('on_watch_event', event),
        )
        self.other = StreamWorker(stream(chunk_frames=4), beside=self.worker)
        self.shown = 0
        self.worker.start()
        until(self.worker.watch('Is it?', CHOICES[:2], threshold=0.01, hold=1, name='w'))
        self.show(8)

    def _callback(self, name: str, event: Any = None) -> None:
        self.plan.passes(f'callback.{name}', lambda: self.events.append(event))

    def show(self, frames: int) -> None:
        """Show both streams frames, and wait until they are taken."""
        with self.worker._thread.wake:  # so that both streams are due at once
            for image in FRAMES[self.shown : self.shown + frames]:
                for worker in (self.worker, self.other):
                    worker.submit_frame(image, (1 + self.shown) * 10**9)
                self.shown += 1
        wait(
            lambda: (
                not self.worker.status().frames_waiting and not self.other.status().frames_waiting
            )
        )

    def use(self) -> list[Future]:
        """Do everything that a worker can be asked to."""
        progress = functools.partial(self._callback, 'on_progress')
        open_: list[Future[Any]] = [
            self.worker.ask('What happened?', max_new_tokens=4, on_progress=progress),
            self.worker.ask_choice('Which?', CHOICES),
            self.worker.watches(),
            self.worker.ask('What is it? ' * 60, max_new_tokens=2, is_goal=True),
        ]
        self.show(8)
        open_ += [
            self.worker.watch('Is that?', CHOICES, threshold=0.01, hold=1, name='v'),
            self.worker.unwatch('w'),
            self.worker.ask('What now?', max_new_tokens=3, timeout=TIMEOUT),
        ]
        canceled = self.worker.ask('Never mind', max_new_tokens=100)
        canceled.cancel()
        self.worker.set_sample_rate(0.0)
        wait(lambda: all(future.done() for future in open_))
        self.show(4)
        return open_

    def answer(self, worker: StreamWorker) -> tuple[float, ...]:
        """Return what a stream says now."""
        return until(worker.ask_choice('Which?', CHOICES)).choice_probabilities

    def check(self, lost: int | None = None) -> None:
        """Compare with a twin that was shown the same, and add the counters up.

        Args:
            lost: number of the frame that a fault has cost; None: none.

        """
        for worker, dropped in (self.worker, int(lost is not None)), (self.other, 0):
            status = worker.status()
            assert status.frames_received == self.shown == status.frames_ingested + dropped
            assert (status.frames_dropped, status.frames_failed + status.frames_waiting) == (
                dropped,
                0,
            )
            assert status.state != 'error' and not status.memory_losses
        assert not self.other.status().internal_faults
        twin = stream(chunk_frames=4, capacity=140)
        for index in range(self.shown):
            if index != lost:
                twin.append_frame(FRAMES[index], (1 + index) * 10**9)
        assert self.answer(self.worker) == twin.ask_choice('Which?', CHOICES).probabilities
        assert not self.engine.stream.cache.readers and is_whole(self.engine.stream, 4)
        assert self.answer(self.other)


def wait(condition: Any) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, 'Nothing has come of it.'
        time.sleep(0.002)


def until(future: Future) -> Any:
    """Return a future's result."""
    return future.result(TIMEOUT)
