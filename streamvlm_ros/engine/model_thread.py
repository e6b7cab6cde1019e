# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The one thread that owns the model, and all streams that are served with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
import functools
import threading
import time
from typing import TypeVar

from streamvlm_ros.engine.ahead import encode_together
from streamvlm_ros.engine.desk import decode_open
from streamvlm_ros.engine.errors import as_stream_error
from streamvlm_ros.engine.policy import Policy, Rota, Turn, Turns
from streamvlm_ros.engine.served_stream import not_active, ServedStream
from streamvlm_ros.engine.turn_clock import clock_for, HostClock

T = TypeVar('T')


class ModelThread:
    """Works in turns: a chunk of one stream's frames, or a token of every open answer.

    ``policy.py`` says whose turn it is.  Streams have their chunks in turns, and open their
    questions in turns; what several have due is encoded in one call, and their open answers are
    decoded as one batch.  A fault in one stream ends that one, and the others go on.

    Attributes:
        wake: the lock of everything that others hand in; notified when there is work.

    """

    def __init__(self, policy: str = 'frames_first') -> None:
        """Begin without a stream; each ``StreamWorker`` brings its own.

        Args:
            policy: who goes first, see ``policy.Policy``.

        Raises:
            StreamError: INVALID_REQUEST; there is no such policy.

        """
        self.wake = threading.Condition()
        self._turns = Turns(Policy.named(policy), HostClock())
        self._streams: list[ServedStream] = []
        self._chunks: Rota[ServedStream] = Rota()
        self._questions: Rota[ServedStream] = Rota()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name='streamvlm-worker', daemon=True)

    def add(self, stream: ServedStream) -> None:
        """Serve one more stream, whose lock is ``wake``.

        Raises:
            ValueError: it has another model than those that are there.

        """
        with self.wake:
            if any(each.model is not stream.model for each in self._streams):
                raise ValueError('The streams of one thread must have one model.')
            if not self._streams:
                self._turns.clock = clock_for(
                    {parameter.device for parameter in stream.model.parameters()})
            # Another list each time: whoever goes through one needs no lock.
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
        error, failed = not_active(), False
        try:
            while self._wait_for_work():
                for stream in self._served():
                    self._guard(stream, stream.run_calls)
                self._take_turn()
                for stream in self._served():
                    self._guard(stream, stream.tell_changes)
        except Exception as fault:
            error, failed = as_stream_error(fault), True
        with self.wake:
            self._stopping = True
        for stream in self._streams:
            stream.end(error, failed)

    def _served(self) -> list[ServedStream]:
        return [stream for stream in self._streams if not stream.ended]

    def _wait_for_work(self) -> bool:
        """Sleep until there is something to do; return False when it is time to stop."""
        with self.wake:
            while not self._stopping:
                for stream in self._served():
                    self._guard(stream, stream.expire)
                if any(stream.has_calls for stream in self._served()) \
                        or any(map(any, self._due().values())):
                    return True
                deadline = min((stream.desk.deadline for stream in self._served()),
                               default=float('inf'))
                left = deadline - time.perf_counter()
                self.wake.wait(None if left == float('inf') else max(0.0, left))
            return False

    def _due(self) -> dict[ServedStream, tuple[bool, bool]]:
        """Return for every stream whether frames and whether answers wait; with the lock held."""
        due = {}
        for stream in self._served():
            due[stream] = self._guard(stream, stream.due) or (False, False)
        return due

    def _take_turn(self) -> None:
        with self.wake:
            due = self._due()
            turn = self._turns.next(any(frames for frames, _ in due.values()),
                                    any(answers for _, answers in due.values()))
        if turn is Turn.FRAMES:
            with self._turns.timed(turn):
                self._take_frames({each for each, (frames, _) in due.items() if frames})
        elif turn is Turn.ANSWERS:
            with self._turns.timed(turn):
                self._answer(due.keys())

    def _take_frames(self, waiting: Set[ServedStream]) -> None:
        """Prefill a chunk of the stream that had none for longest."""
        self._encode_ahead(self._chunks.line(waiting.__contains__))
        stream = self._chunks.next(waiting.__contains__)
        assert stream is not None
        self._guard(stream, stream.take_frames)

    def _answer(self, served: Set[ServedStream]) -> None:
        """Open a question, and decode a token of every open answer."""
        with self.wake:
            asked = self._questions.next(lambda each: each in served and each.question_waits())
        if asked is not None:
            self._guard(asked, asked.open_question)
        decoded = decode_open([stream.desk for stream in self._served()])
        for stream in self._served():
            self._guard(stream, functools.partial(
                stream.desk.hand_over, decoded.get(stream.desk, ())))

    def _encode_ahead(self, streams: Sequence[ServedStream]) -> None:
        """Encode the first stream's chunk in one call with those of others in line behind it.

        Nothing is prefilled yet: each stream finds its chunk encoded when it has its turn.
        """
        if len(streams) < 2:
            return
        chunks = {chunk: stream for stream in streams
                  if (chunk := self._guard(stream, stream.next_chunk)) is not None}
        # Without the first one's, the others' can wait for more to join them.
        if streams[0] in chunks.values():
            for chunk in encode_together(list(chunks)):
                chunks[chunk].hold(chunk)

    def _guard(self, stream: ServedStream, step: Callable[[], T]) -> T | None:
        """Do something for a stream; a fault that it cannot deal with ends this stream only."""
        try:
            return step()
        except Exception as fault:
            stream.end(as_stream_error(fault), failed=True)
            return None
