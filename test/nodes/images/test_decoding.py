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

from streamvlm_ros.nodes.faults import Faults
from streamvlm_ros.nodes.images.image_decoder import Decoder, OVERHEAD, TOO_FAST
from streamvlm_ros.nodes.images.images import ImageError

SECOND = 1_000_000_000
TIME = 20.0


def image(seconds: int, size: int = 10) -> Any:
    stamp = SimpleNamespace(sec=seconds, nanosec=0)
    header = SimpleNamespace(stamp=stamp, frame_id='camera')
    return SimpleNamespace(header=header, encoding='', data=bytes(size))


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
    given = {
        'warn': lambda _: None, 'faults': Faults(lambda _: None), 'most_bytes': 1 << 20,
        'store': lambda *_: None, **options,
    }  # fmt: skip
    made = Decoder(worker, decode, **given)  # type: ignore[arg-type]
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
    with decoder(worker, gate, most_bytes=2 * (OVERHEAD + len('camera') + 10) + 9) as made:
        made.put(image(1))
        assert gate.entered.wait(TIME)  # in hand: it waits no more
        for seconds in (2, 3, 4, 5):
            made.put(image(seconds))
        assert worker.seen == [('dropped', TOO_FAST)] * 2
        made.put(image(6, size=10_000))  # larger than all that may wait: it may, alone
        assert worker.seen == [('dropped', TOO_FAST)] * 4
        gate.go_on.set()
        worker.wait(6)
    assert worker.seen[4:] == [('frame', 1), ('frame', 6)]


def test_texts_count_too() -> None:
    """A message of a long frame_id and no pixels takes memory as well."""
    worker, gate = Worker(), Gate()
    with decoder(worker, gate, most_bytes=10_000) as made:
        made.put(image(1))
        assert gate.entered.wait(TIME)
        for seconds in (2, 3):
            message = image(seconds, size=0)
            message.header.frame_id = 'x' * 6000
            made.put(message)
        assert worker.seen == [('dropped', TOO_FAST)]
        gate.go_on.set()
        worker.wait(1)


def test_faults_are_counted_and_told_and_the_next_image_is_decoded() -> None:
    faults = iter([ImageError('Cut off.'), KeyError('x' * 1000 + '\n')])
    told: list[str] = []
    logged: list[str] = []

    def faulty(msg: Any) -> Any:
        for fault in faults:
            raise fault
        return decode(msg)

    worker, caught = Worker(), Faults(logged.append)
    with decoder(worker, faulty, warn=told.append, faults=caught) as made:
        for seconds in (1, 2, 3):
            made.put(image(seconds))
        worker.wait(3)
    assert [what for what, _ in worker.seen] == ['failed', 'failed', 'frame']
    assert told == [about for what, about in worker.seen if what == 'failed']
    assert told[0] == 'Cut off.'
    assert told[1].startswith('Decoding an image failed because of a fault of the program (KeyErr')
    assert len(told[1]) < 300 and told[1].isprintable()
    # What is wrong with an image is no fault of the program; the other one is.
    assert caught.count == len(logged) == 1


@pytest.mark.parametrize('step', ['leave_out', 'submit_frame', 'count_failed', 'warn'])
def test_whatever_raises_the_next_image_is_decoded(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, caught = Worker(), Faults(lambda _: None)
    whole = getattr(worker, step, None)
    calls = 0

    def raising(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError('Once.')
        return whole(*args) if whole else None

    def decode_second(msg: Any) -> Any:
        if msg.header.stamp.sec == 1 and step in ('count_failed', 'warn'):
            raise ImageError('Cut off.')
        return decode(msg)

    options: dict[str, Any] = {'faults': caught}
    if step == 'warn':
        options['warn'] = raising
    else:
        monkeypatch.setattr(worker, step, raising)
    with decoder(worker, decode_second, **options) as made:
        made.put(image(1))
        made.put(image(2))
        worker.wait(2 if step == 'warn' else 1)
    assert worker.seen[-1] == ('frame', 2)
    assert caught.count == 1


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
