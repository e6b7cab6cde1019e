# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The one thread that owns the model, and all streams that are served with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
import contextlib
import functools
import threading
import time
from typing import TypeVar

from streamvlm_ros.engine.config import MAX_BATCH
from streamvlm_ros.engine.serving.request import Request
from streamvlm_ros.engine.serving.scheduler import (
    clock_for,
    HostClock,
    Policy,
    Pulse,
    RoundRobin,
    Scheduler,
    Turn,
)
from streamvlm_ros.engine.serving.session import Due, not_active, StreamSession
from streamvlm_ros.engine.stream.encoder_cache import encode_batch

T = TypeVar('T')
LONGEST = 60.0  # seconds of sleep; a request's own time may be longer than a lock can wait
LONGEST_PAUSE = 1.0  # seconds between rounds that bring nothing but faults


class EngineLoop:
    """Works in turns: a chunk of one stream's frames, or a token of every open answer.

    ``scheduler.py`` decides what is next.  The streams take turns with their chunks, and with
    their questions.  Chunks that several streams have due are encoded in one call, and the open
    answers of all streams are decoded as one batch.  Only ``stop`` ends the loop: a fault is
    counted against the stream in whose step it came, or against all streams, and the next round
    begins.

    Attributes:
        wake: the lock of everything that others hand in; notified when there is work.
        pulse: what the thread is doing.

    """

    def __init__(self, policy: str = 'frames_first') -> None:
        """Begin without a stream; each ``StreamWorker`` adds its own.

        Args:
            policy: what goes first, see ``scheduler.Policy``.

        Raises:
            StreamError: INVALID_REQUEST; there is no such policy.

        """
        self.wake = threading.Condition()
        self.pulse = Pulse()
        self._turns = Scheduler(Policy.named(policy), HostClock())
        self._streams: list[StreamSession] = []
        self._chunks: RoundRobin[StreamSession] = RoundRobin()
        self._questions: RoundRobin[StreamSession] = RoundRobin()
        self._stopping = False
        self._faulty = False  # this round
        self._pause = 0.0  # seconds until the next round, after one with a fault
        self._thread = threading.Thread(target=self._run, name='streamvlm-worker', daemon=True)

    def add(self, stream: StreamSession) -> None:
        """Serve one more stream, whose lock is ``wake``.

        Raises:
            ValueError: it has another model than those that are there.

        """
        with self.wake:
            if any(each.model is not stream.model for each in self._streams):
                raise ValueError('The streams of one thread must have one model.')
            if not self._streams:
                self._turns.clock = clock_for(
                    {parameter.device for parameter in stream.model.parameters()}
                )
            # Copied on write, so that a loop over the list needs no lock.
            self._streams = [*self._streams, stream]
            self._chunks.join(stream)
            self._questions.join(stream)
            self.wake.notify()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> bool:
        """End the thread; requests still open end with NOT_ACTIVE.  May be called again.

        Returns:
            Whether it ended within ``timeout`` seconds; until it has, it holds the model.

        """
        with self.wake:
            self._stopping = True
            for stream in self._streams:
                stream.closed = True
            self.wake.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)
        if self._thread.is_alive():
            return False
        for stream in self._streams:  # if it has never run
            stream.end(not_active())
        return True

    def set_policy(self, name: str) -> None:
        """Change what goes first, from the next turn on.

        Raises:
            StreamError: INVALID_REQUEST; there is no such policy.

        """
        policy = Policy.named(name)
        with self.wake:
            self._turns.policy = policy

    def _run(self) -> None:
        """Work until stopped; then end everything that is open."""
        while not self._stopping:
            self._faulty = False
            try:
                if not self._round():
                    self._wait_for_work()
            except BaseException as fault:  # sys.exit() in a library must not end it either
                for stream in self._streams:
                    self._blame(stream, fault)
            # While rounds bring only faults, the pauses between them grow.
            self._pause = min(LONGEST_PAUSE, max(0.01, 2 * self._pause)) * self._faulty
        for stream in self._streams:
            with contextlib.suppress(BaseException):
                stream.end(not_active())

    def _round(self) -> bool:
        """Run what is to be run, and take a turn; return whether there was anything to do."""
        with self.wake:
            if self._pause:
                self.wake.wait(self._pause)
            self.pulse.begin()
            self._look_around()
            called = [stream for stream in self._streams if stream.has_calls]
        for stream in called:
            self._guard(stream, stream.run_calls)
        if not self._take_turn() and not called:
            return False
        for stream in self._streams:
            self._guard(stream, stream.tell_changes)
        return True

    def _wait_for_work(self) -> None:
        """Sleep until there may be something to do."""
        with self.wake:
            # What came since the last look is seen now; what comes later notifies ``wake``.
            self._look_around()
            if (
                self._stopping
                or self._faulty
                or any(stream.has_calls for stream in self._streams)
                or any(map(any, self._due().values()))
            ):
                return
            deadline = min((stream.deadline for stream in self._streams), default=LONGEST)
            self.pulse.rest()
            if not self._faulty:
                self.wake.wait(min(LONGEST, max(0.0, deadline - time.perf_counter())))

    def _look_around(self) -> None:
        """Note for every stream what is over or ready by now; with the lock held."""
        for stream in self._streams:
            self._guard(stream, stream.look_around)

    def _due(self) -> dict[StreamSession, Due]:
        """Return for every stream what waits; with the lock held."""
        return {stream: self._guard(stream, stream.due) or Due() for stream in self._streams}

    def _take_turn(self) -> bool:
        """Let frames or answers have the device; return whether any waited."""
        with self.wake:
            due = self._due()
            turn = self._turns.next(
                any(each.frames for each in due.values()),
                any(each.answers for each in due.values()),
            )
        if turn is None:
            return False
        with self._turns.timed(turn):
            if turn is Turn.FRAMES:
                self._take_frames([stream for stream, each in due.items() if each.frames])
            else:
                self._answer([stream for stream, each in due.items() if each.question])
        return True

    def _take_frames(self, waiting: Collection[StreamSession]) -> None:
        """Prefill a chunk of the stream that has waited longest for one."""
        self.pulse.doing('encoding frames')
        self._encode_ahead(self._chunks.line(waiting))
        stream = self._chunks.next(waiting)
        assert stream is not None
        self._guard(stream, stream.take_frames)

    def _answer(self, asked: Collection[StreamSession]) -> None:
        """Prefill a piece of a question, and decode a token of every open answer."""
        stream = self._questions.next(asked)
        if stream is not None:
            self.pulse.doing('prefilling a question')
            self._guard(stream, stream.prefill_question)
        self.pulse.doing('decoding answers')
        answering = [each for each in self._streams if each.requests.active]
        try:
            rows = [(each, request) for each in answering for request in each.requests.decoding()]
            for start in range(0, len(rows), MAX_BATCH):
                self._decode(rows[start : start + MAX_BATCH])
        finally:
            for each in answering:
                self._guard(each, each.requests.hand_over)

    def _decode(self, rows: Sequence[tuple[StreamSession, Request]]) -> None:
        """Decode one token of some answers in one pass; the model is the same for all.

        If that fails, the answers about each stream are decoded in a pass of their own, so that
        only those end whose own pass fails.
        """
        try:
            rows[0][0].requests.questions.decode(
                [request.sequence for _, request in rows if request.sequence is not None]
            )
        except BaseException as error:
            streams = list(dict.fromkeys(stream for stream, _ in rows))
            if len(streams) > 1:
                for stream in streams:
                    self._decode([row for row in rows if row[0] is stream])
            else:
                for _, request in rows:
                    request.fail(error)
                streams[0].faults.ended_request(error)

    def _encode_ahead(self, streams: Sequence[StreamSession]) -> None:
        """Encode the first stream's chunk in one call with those of others in line after it.

        Nothing is prefilled yet: each stream finds its chunk encoded when it has its turn.
        """
        if len(streams) < 2:
            return
        chunks = {
            chunk: stream
            for stream in streams
            if (chunk := self._guard(stream, stream.next_chunk)) is not None
        }
        # Without a chunk of the first stream, the others can wait until more join them.
        if streams[0] in chunks.values():
            for chunk in encode_batch(list(chunks)):
                self._guard(chunks[chunk], functools.partial(chunks[chunk].hold, chunk))

    def _guard(self, stream: StreamSession, step: Callable[[], T]) -> T | None:
        """Run a step for a stream; count a fault that the step does not handle itself."""
        try:
            return step()
        except BaseException as fault:
            self._blame(stream, fault)
            return None

    def _blame(self, stream: StreamSession, fault: BaseException) -> None:
        """Count a fault against a stream."""
        self._faulty = True
        with contextlib.suppress(BaseException):  # counting may be what has failed
            stream.faults.caught(fault)
