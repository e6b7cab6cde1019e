# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The worker's questions: those that wait, and those that are being answered."""

from __future__ import annotations

import collections
from collections import abc
import time

from streamvlm_ros.engine.errors import ErrorCode, StillReadError, StreamError
from streamvlm_ros.engine.questions.questions import Questions
from streamvlm_ros.engine.questions.sequence import Sequence
from streamvlm_ros.engine.serving.request import Request

# Answers that one stream has open at once; further requests wait.  Each stream has its own limit,
# so that questions about one stream do not delay those about another.
MAX_OPEN = 16


class RequestQueue:
    """Begins the requests about one stream in the order in which they came.

    Only the worker's thread may call what touches the engine; ``add``, ``see``, ``is_ready``,
    ``next_to_prefill``, ``expire`` and the properties need the worker's lock.

    Attributes:
        questions: the stream's.
        waiting: requests that are not begun, in the order in which they came.
        active: requests whose answer is being given.
        max_goals: how many of them may be goals.

    """

    def __init__(
        self, questions: Questions, on_fault: abc.Callable[[BaseException], None]
    ) -> None:
        """Begin with no requests; ``on_fault`` is called with every error."""
        self.questions = questions
        self.on_fault = on_fault
        self.waiting: collections.deque[Request] = collections.deque()
        self.active: list[Request] = []
        self.max_goals = MAX_OPEN

    @property
    def pending(self) -> int:
        """Requests that have no answer yet."""
        return sum(not request.future.done() for request in [*self.waiting, *self.active])

    @property
    def keeps_a_turn(self) -> bool:
        """Whether an answer is being decoded that will be kept in the stream."""
        return any(request.update_state for request in self.active)

    @property
    def deadline(self) -> float:
        """When the first of the waiting requests times out, on ``time.perf_counter``'s clock."""
        return min((request.deadline for request in self.waiting), default=float('inf'))

    def add(self, request: Request) -> None:
        """Take a request in."""
        self.waiting.append(request)

    def see(self, newest_stamp: int) -> None:
        """Note which requests have what they wait for, when a frame with this stamp was seen."""
        for request in self.waiting:
            if request.ready is None and newest_stamp >= request.after_ns:
                request.ready = time.perf_counter()

    def is_ready(self, newest_stamp: int) -> bool:
        """Tell whether a question can be prefilled: one that is begun, or a new one."""
        return self._begun() is not None or self._ready(newest_stamp) is not None

    def next_to_prefill(self, newest_stamp: int) -> Request | None:
        """Return the request whose prefill has begun; otherwise make the first ready one active.

        A second answer that is to be kept waits until the first is: it then sees its turn.
        """
        request = self._begun()
        if request is None:
            self.see(newest_stamp)
            request = self._ready(newest_stamp)
            if request is not None:
                self.waiting.remove(request)
                self.active.append(request)
        return request

    def expire(self, stale: bool = False) -> None:
        """Take out requests that are cancelled, and end those whose time is over.

        Args:
            stale: frames have stopped coming, so a request for a newer one waited in vain.

        """
        now = time.perf_counter()
        for request in [*self.active, *self.waiting]:
            if now >= request.deadline:
                request.fail(_too_late(request, stale))
        self._sweep()
        waiting = [request for request in self.waiting if not request.future.done()]
        self.waiting.clear()
        self.waiting.extend(waiting)

    def prefill(self, request: Request) -> None:
        """Prefill a request's question, or the next piece of it; answer a choice after the last.

        Between two pieces the scheduler has its turn, and a time-out or a cancel is seen.
        """
        try:
            if request.sequence is None:
                request.sequence = self._begin(request)
            self.questions.advance(request.sequence)
            if not request.sequence.prefilling and request.is_choice:
                request.finish(self.questions.close(request.sequence))
        except BaseException as error:
            self._fail(request, error)
        else:
            self._tell(request)

    def decoding(self) -> list[Request]:
        """Return the requests whose answer needs another token."""
        return [
            request
            for request in self.active
            if request.sequence is not None
            and request.sequence.tokens
            and not request.sequence.ended
            and not request.future.done()
        ]

    def hand_over(self) -> None:
        """Hand over the answers that have ended, and report the others so far."""
        for request in self.active:
            sequence = request.sequence
            if request.future.done() or sequence is None or not sequence.tokens:
                continue
            if sequence.ended:
                try:
                    request.finish(self.questions.close(sequence))
                except StillReadError:
                    continue  # its turn is kept when another answer has ended
                except BaseException as error:
                    self._fail(request, error)
            else:
                self._tell(request)
        self._sweep()

    def end_active(self, error: StreamError) -> None:
        """End all answers that are being given."""
        for request in self.active:
            request.fail(error)
        self._sweep()

    def end_all(self, error: BaseException) -> None:
        """End every request."""
        for request in [*self.active, *self.waiting]:
            request.fail(error)
        self._sweep()
        self.waiting.clear()

    def _begin(self, request: Request) -> Sequence:
        if request.is_choice:
            return self.questions.begin_choice(
                request.question,
                request.choices,
                request.ready,
                request.view,
                request.return_frames,
            )
        return self.questions.begin(
            request.question,
            request.max_new_tokens,
            request.update_state,
            request.settings,
            request.ready,
            request.view,
            request.return_frames,
        )

    def _begun(self) -> Request | None:
        """Return the active request whose question is not prefilled yet."""
        return next(
            (
                request
                for request in self.active
                if not request.future.done()
                and (request.sequence is None or request.sequence.prefilling)
            ),
            None,
        )

    def _ready(self, newest_stamp: int) -> Request | None:
        """Return the first request that can be begun now."""
        if len(self.active) >= MAX_OPEN:
            return None
        held, views = self.questions.must_wait, self.questions.views
        halted = self.keeps_a_turn
        goals = sum(request.is_goal and not request.future.done() for request in self.active)
        for request in self.waiting:
            if (
                newest_stamp >= request.after_ns
                and not (held and request.view.has_memory)
                and not (request.view.has_fresh_frames and views.full)
                and not (halted and request.update_state)
                and not (request.is_goal and goals >= self.max_goals)
            ):
                return request
        return None

    def _fail(self, request: Request, error: BaseException) -> None:
        """End a request with an error, which may be more than the request's."""
        request.fail(error)
        self.on_fault(error)

    def _tell(self, request: Request) -> None:
        """Report the answer so far; a fault of the callback does not end the request."""
        try:
            request.tell_progress()
        except BaseException as error:
            self.on_fault(error)

    def _sweep(self) -> None:
        """Free what is held by answers that have ended, whatever ended them."""
        ended = [request for request in self.active if request.future.done()]
        self.active = [request for request in self.active if not request.future.done()]
        for request in ended:
            sequence, request.sequence = request.sequence, None
            if sequence is not None:
                try:
                    self.questions.abandon(sequence)
                except BaseException as error:
                    # Nothing refers to the sequence any more, so what it holds is freed with it.
                    self.on_fault(error)


def _too_late(request: Request, stale: bool) -> StreamError:
    """Return why a request has no answer in time."""
    if stale and request.after_ns and request.ready is None:
        return StreamError(
            ErrorCode.STALE_STREAM,
            f'Frames have stopped coming: none as new as the request '
            f'wants came within {request.timeout:g} s; check the camera.',
        )
    return StreamError(
        ErrorCode.TIMEOUT,
        f'No answer within {request.timeout:g} s; give it more time, or look '
        'at ~/status for what keeps the stream.',
    )
