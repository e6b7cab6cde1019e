# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The thread that decodes: order, bounds, what it leaves out, faults, and its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import threading
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip('builtin_interfaces', reason='ROS is not installed: run make test')

from streamvlm_ros.nodes.decoding import Decoder, TOO_FAST
from streamvlm_ros.nodes.images import ImageError

SECOND = 1_000_000_000
TIME = 20.0


def image(seconds: int, size: int = 10) -> Any:
    stamp = SimpleNamespace(sec=seconds, nanosec=0)
    header = SimpleNamespace(stamp=stamp, frame_id='camera')
    return SimpleNamespace(header=header, data=bytes(size))


@dataclasses.dataclass
class Worker:
    """What the decoder calls of a worker, written down."""

    sampled_out: frozenset[int] = frozenset()
    seen: list[tuple[str, Any]] = dataclasses.field(default_factory=list)
    done: threading.Semaphore = dataclasses.field(default_factory=lambda: threading.Semaphore(0))

    def leave_out(self, stamp_ns: int) -> bool:
        out = stamp_ns // SECOND in self.sampled_out
        if out:
            self._saw('left out', stamp_ns // SECOND)
        return out

    def submit_frame(self, frame: Any, stamp_ns: int, frame_id: str) -> None:
        assert (frame, frame_id) == (f'frame of {stamp_ns // SECOND}', 'camera')
        self._saw('frame', stamp_ns // SECOND)

    def count_failed(self, message: str) -> None:
        self._saw('failed', message)

    def count_dropped(self, message: str) -> None:
        self._saw('dropped', message)

    def _saw(self, what: str, about: Any) -> None:
        self.seen.append((what, about))
        self.done.release()

    def wait(self, count: int) -> None:
        for _ in range(count):
            assert self.done.acquire(timeout=TIME), self.seen


def decode(msg: Any) -> Any:
    return f'frame of {msg.header.stamp.sec}'


@contextlib.contextmanager
def decoder(
    worker: Worker, decode: Callable[[Any], Any] = decode, **options: Any
) -> Iterator[Decoder]:
    made = Decoder(worker, decode, options.pop('warn', lambda _: None), **options)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.close()
        assert not made._thread.is_alive()


class Gate:
    """A decoder that waits until it is told to go on."""

    def __init__(self) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()

    def __call__(self, msg: Any) -> Any:
        self.entered.set()
        assert self.go_on.wait(TIME)
        return decode(msg)


def test_order_is_kept_and_what_is_sampled_out_is_not_decoded() -> None:
    worker = Worker(frozenset({2, 3}))
    decoded = []

    def watched(msg: Any) -> Any:
        decoded.append(msg.header.stamp.sec)
        return decode(msg)

    with decoder(worker, watched) as made:
        for seconds in (1, 2, 3, 4):
            made.put(image(seconds))
        worker.wait(4)
    assert worker.seen == [('frame', 1), ('left out', 2), ('left out', 3), ('frame', 4)]
    assert decoded == [1, 4]


def test_put_does_not_wait_for_decoding() -> None:
    worker, gate = Worker(), Gate()
    with decoder(worker, gate) as made:
        made.put(image(1))
        assert gate.entered.wait(TIME)
        made.put(image(2))  # would not come back if it waited
        assert not worker.seen
        gate.go_on.set()
        worker.wait(2)


def test_the_oldest_are_dropped_and_counted() -> None:
    worker, gate = Worker(), Gate()
    with decoder(worker, gate, most_bytes=25) as made:
        made.put(image(1))
        assert gate.entered.wait(TIME)  # in hand: it waits no more
        for seconds in (2, 3, 4, 5):
            made.put(image(seconds))
        assert worker.seen == [('dropped', TOO_FAST)] * 2
        made.put(image(6, size=26))  # larger than all that may wait: it may, alone
        assert worker.seen == [('dropped', TOO_FAST)] * 4
        gate.go_on.set()
        worker.wait(6)
    assert worker.seen[4:] == [('frame', 1), ('frame', 6)]


def test_faults_are_counted_and_told_and_the_next_image_is_decoded() -> None:
    faults = iter([ImageError('Cut off.'), KeyError('x')])
    told: list[str] = []

    def faulty(msg: Any) -> Any:
        for fault in faults:
            raise fault
        return decode(msg)

    worker = Worker()
    with decoder(worker, faulty, warn=told.append) as made:
        for seconds in (1, 2, 3):
            made.put(image(seconds))
        worker.wait(3)
    sentences = ['Cut off.', "No image: KeyError('x')."]
    assert worker.seen == [*(('failed', sentence) for sentence in sentences), ('frame', 3)]
    assert told == sentences


def test_close_forgets_what_waits() -> None:
    worker, gate = Worker(), Gate()
    with decoder(worker, gate) as made:
        made.put(image(1))
        assert gate.entered.wait(TIME)
        made.put(image(2))
        closing = threading.Thread(target=made.close)
        closing.start()
        while not made._closed:
            assert closing.is_alive()
        gate.go_on.set()
        closing.join(TIME)
        assert not closing.is_alive()
    assert worker.seen == [('frame', 1)]
