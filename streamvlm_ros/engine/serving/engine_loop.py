# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The one thread that owns the model, and all streams that are served with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
import contextlib
import functools
import threading
import time
from typing import TypeVar

from streamvlm_ros.engine.serving.metrics import Pulse
from streamvlm_ros.engine.serving.request_queue import decode_open
from streamvlm_ros.engine.serving.scheduler import (
    clock_for,
    HostClock,
    Policy,
    RoundRobin,
    Scheduler,
    Turn,
)
from streamvlm_ros.engine.serving.session import not_active, StreamSession
from streamvlm_ros.engine.stream.encoder_cache import encode_batch

T = TypeVar('T')
LONGEST = 60.0  # seconds of sleep; a request's own time may be longer than a lock can wait
LONGEST_PAUSE = 1.0  # seconds between rounds that bring nothing but faults


class EngineLoop:
    """Works in turns: a chunk of one stream's frames, or a token of every open answer.

    ``scheduler.py`` says whose turn it is.  Streams have their chunks in turns, and open their
    questions in turns; what several have due is encoded in one call, and their open answers are
    decoded as one batch.  Nothing but ``stop`` ends it: a fault is counted against the stream in
    whose step it came, or against all of them, and the next round begins.

    Attributes:
        wake: the lock of everything that others hand in; notified when there is work.
        pulse: what the thread is doing.

    """

    def __init__(self, policy: str = 'frames_first') -> None:
        """Begin without a stream; each ``StreamWorker`` brings its own.

        Args:
            policy: who goes first, see ``policy.Policy``.

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
            # Copied on write: whoever goes through one needs no lock.
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
        """Change who goes first, from the next turn on.

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
                if self._wait_for_work():
                    self._round()
            except BaseException as fault:  # not even sys.exit() of a library ends it
                for stream in self._streams:
                    self._blame(stream, fault)
            # Rounds that bring nothing but faults come ever more seldom.
            self._pause = min(LONGEST_PAUSE, max(0.01, 2 * self._pause)) * self._faulty
        for stream in self._streams:
            with contextlib.suppress(BaseException):
                stream.end(not_active())

    def _round(self) -> None:
        for stream in self._streams:
            self._guard(stream, stream.run_calls)
        self._take_turn()
        for stream in self._streams:
            self._guard(stream, stream.tell_changes)

    def _wait_for_work(self) -> bool:
        """Sleep until there is something to do; return False when it is time to look again."""
        with self.wake:
            if self._pause:
                self.wake.wait(self._pause)
            self.pulse.begin()
            for stream in self._streams:
                self._guard(stream, stream.expire)
            if (
                self._stopping
                or any(stream.has_calls for stream in self._streams)
                or any(map(any, self._due().values()))
            ):
                return not self._stopping
            deadline = min((stream.deadline for stream in self._streams), default=LONGEST)
            self.pulse.rest()
            if not self._pause and not self._faulty:
                self.wake.wait(min(LONGEST, max(0.0, deadline - time.perf_counter())))
            return False

    def _due(self) -> dict[StreamSession, tuple[bool, bool]]:
        """Return for every stream whether frames and whether answers wait; with the lock held."""
        due = {}
        for stream in self._streams:
            due[stream] = self._guard(stream, stream.due) or (False, False)
        return due

    def _take_turn(self) -> None:
        with self.wake:
            due = self._due()
            turn = self._turns.next(
                any(frames for frames, _ in due.values()),
                any(answers for _, answers in due.values()),
            )
        if turn is Turn.FRAMES:
            with self._turns.timed(turn):
                self._take_frames({each for each, (frames, _) in due.items() if frames})
        elif turn is Turn.ANSWERS:
            with self._turns.timed(turn):
                self._answer(due.keys())

    def _take_frames(self, waiting: Set[StreamSession]) -> None:
        """Prefill a chunk of the stream that had none for longest."""
        self.pulse.doing('encoding frames')
        self._encode_ahead(self._chunks.line(waiting))
        stream = self._chunks.next(waiting)
        assert stream is not None
        self._guard(stream, stream.take_frames)

    def _answer(self, served: Set[StreamSession]) -> None:
        """Prefill a piece of a question, and decode a token of every open answer."""
        with self.wake:
            asked = self._questions.next(
                [each for each in served if self._guard(each, each.question_waits)]
            )
        if asked is not None:
            self.pulse.doing('prefilling a question')
            self._guard(asked, asked.prefill_question)
        self.pulse.doing('decoding answers')
        try:
            decode_open([stream.requests for stream in self._streams])
        finally:
            for stream in self._streams:
                self._guard(stream, stream.hand_over)

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
        # Without the first one's, the others' can wait for more to join them.
        if streams[0] in chunks.values():
            for chunk in encode_batch(list(chunks)):
                self._guard(chunks[chunk], functools.partial(chunks[chunk].hold, chunk))

    def _guard(self, stream: StreamSession, step: Callable[[], T]) -> T | None:
        """Do something for a stream; a fault that it does not deal with itself is counted."""
        try:
            return step()
        except BaseException as fault:
            self._blame(stream, fault)
            return None

    def _blame(self, stream: StreamSession, fault: BaseException) -> None:
        """Count a fault against a stream."""
        self._faulty = True
        with contextlib.suppress(BaseException):  # it may be what has failed
            stream.fault(fault)
