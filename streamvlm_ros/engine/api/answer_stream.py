# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An answer that is read while it is decoded, and the answers that are open about a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import threading
from types import TracebackType
from typing import TypeVar
import weakref

import torch

from streamvlm_ros.engine.api.turns import LOCKS
from streamvlm_ros.engine.errors import (
    as_stream_error,
    ErrorCode,
    StillReadError,
    StreamError,
)
from streamvlm_ros.engine.outputs import Answer
from streamvlm_ros.engine.questions.sequence import Sequence
from streamvlm_ros.engine.serving.inference import VideoStreamingInference

T = TypeVar('T')


class OpenAnswers:
    """Lets the calls of several threads work on one stream, one after the other.

    A call waits for answers that calls of other threads are decoding, if these keep it from being
    done.  It never waits for an ``AnswerStream``, which may be its own thread's: it is refused.
    """

    def __init__(self, engine: VideoStreamingInference) -> None:
        """Begin with no open answer."""
        self._engine: VideoStreamingInference | None = engine
        self._changed = threading.Condition(LOCKS.of(engine.model))  # type: ignore[arg-type]
        # Weakly: an answer that is dropped holds nothing of the stream any more.
        self._open: weakref.WeakSet[AnswerStream] = weakref.WeakSet()

    @property
    def engine(self) -> VideoStreamingInference:
        """The stream; StreamError NOT_ACTIVE if it was closed."""
        self.check()
        assert self._engine is not None
        return self._engine

    def run(
        self,
        work: Callable[[VideoStreamingInference], T],
        *,
        changes: bool = False,
        asks: bool = False,
    ) -> T:
        """Do a piece of work when it is its turn.

        Args:
            work: does it; a StillReadError of it has changed nothing.
            changes: it changes the stream.
            asks: it opens a question.

        Raises:
            StreamError: BUSY or OUT_OF_MEMORY; an ``AnswerStream`` is in the way.  Otherwise what
                ``work`` raises.

        """
        with self._changed:
            while True:
                engine = self.engine
                waits = changes and self._keeper() is not None
                waits = waits or (asks and engine.questions.must_wait and bool(self._in_calls()))
                if not waits:
                    try:
                        return work(engine)
                    except StillReadError:
                        if not self._in_calls():
                            raise
                    except torch.OutOfMemoryError as error:
                        raise as_stream_error(error) from error
                self._changed.wait()

    def ask(
        self,
        begin: Callable[[VideoStreamingInference], Sequence],
        update_state: bool,
        in_call: bool,
    ) -> AnswerStream:
        """Open a question.

        Args:
            begin: opens it.
            update_state: whether its turn is to be kept.
            in_call: it is decoded to its end by the call that has asked.

        """

        def work(engine: VideoStreamingInference) -> AnswerStream:
            answer = AnswerStream(self, begin(engine), update_state, in_call)
            self._open.add(answer)
            return answer

        return self.run(work, changes=update_state, asks=True)

    def check(self) -> None:
        """Raise StreamError NOT_ACTIVE if the stream was closed."""
        if self._engine is None:
            raise StreamError(
                ErrorCode.NOT_ACTIVE, 'The StreamingVLM is closed; load it again to go on.'
            )

    def step(self, answer: AnswerStream, sequence: Sequence) -> None:
        """Decode one more token of an answer, or end it if there is none."""
        questions = self.engine.questions
        if not sequence.ended:
            if sequence.epoch != self.engine.stream.epoch:
                raise StreamError(
                    ErrorCode.RESET_DURING_ANSWER,
                    'The stream was reset while the answer was given; ask again.',
                )
            try:
                questions.decode([sequence])
            except torch.OutOfMemoryError as error:
                raise as_stream_error(error) from error
            return
        while True:
            try:
                answer.answer = questions.close(sequence)
                break
            except StillReadError:
                if not set(self._in_calls()) - {answer}:
                    raise
                self._changed.wait()
        self.end(answer, sequence)

    def end(self, answer: AnswerStream, sequence: Sequence) -> None:
        """Free what an open answer holds."""
        if self._engine is not None:
            self._engine.questions.abandon(sequence)
        else:
            sequence.close()
        self._open.discard(answer)
        self._changed.notify_all()

    def close(self) -> VideoStreamingInference | None:
        """End all open answers and let go of the stream, which is returned; None: it was closed.

        Calls that are still going on end with NOT_ACTIVE.
        """
        with self._changed:
            engine, self._engine = self._engine, None
            for answer in list(self._open):
                answer.give_up()
            self._changed.notify_all()
            return engine

    def __enter__(self) -> None:
        self._changed.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._changed.release()

    def _in_calls(self) -> list[AnswerStream]:
        """Return the answers that calls are decoding to their ends, in any thread."""
        return [each for each in self._open if each.in_call]

    def _keeper(self) -> AnswerStream | None:
        """Return the open answer whose turn is to be kept, of a call that can be waited for.

        Raises:
            StreamError: BUSY; there is one that cannot be waited for.

        """
        for each in self._open:
            if each.update_state:
                if each.in_call:
                    return each
                raise StreamError(
                    ErrorCode.BUSY,
                    'An answer with update_state is open, and the stream may not change before '
                    'its turn is kept; read it to its end, or close it.',
                )
        return None


class AnswerStream(Iterator[str]):
    """The text of one answer, piece by piece; the pieces joined are its text.

    Between two pieces nothing is decoded, and other calls of the stream go on.  ``close``, or the
    end of a ``with`` block, cancels what is left and leaves the stream as it was; so does dropping
    the iterator.

    Attributes:
        answer: the whole answer; None until the last piece was read, and if it was cancelled.
        update_state: whether question and answer are kept in the stream at the end.
        in_call: a call decodes it to its end.

    """

    def __init__(
        self, turns: OpenAnswers, sequence: Sequence, update_state: bool, in_call: bool
    ) -> None:
        """Read the answer to a question that was opened."""
        self.answer: Answer | None = None
        self.update_state, self.in_call = update_state, in_call
        self._turns = turns
        self._sequence: Sequence | None = sequence
        self._told = ''

    def __next__(self) -> str:
        with self._turns:
            while self._sequence is not None:
                piece = self._piece(self._sequence)
                if piece:
                    return piece
                self._advance(self._sequence)
            if self.answer is None:
                self._turns.check()
            raise StopIteration

    def finish(self) -> Answer:
        """Decode what is left, and return the whole answer."""
        while True:
            with self._turns:  # let go between two tokens: others take their turns
                if self.answer is not None:
                    return self.answer
                self._turns.check()
                if self._sequence is None:
                    raise StreamError(
                        ErrorCode.INVALID_REQUEST, 'The answer was closed before its end.'
                    )
                self._advance(self._sequence)

    def close(self) -> None:
        """Cancel what is left.  May be called again, and by any thread."""
        with self._turns:
            self.give_up()

    def give_up(self) -> None:
        """See ``close``; the turn is already the caller's."""
        sequence, self._sequence = self._sequence, None
        if sequence is not None:
            self._turns.end(self, sequence)

    def __enter__(self) -> AnswerStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _advance(self, sequence: Sequence) -> None:
        """Decode one more token, or end the answer; an error ends it too."""
        try:
            self._turns.step(self, sequence)
        except StillReadError:
            raise  # it can be ended later
        except BaseException:
            self.give_up()
            raise
        if self.answer is not None:
            self._sequence = None

    def _piece(self, sequence: Sequence) -> str:
        """Return the text that is new; empty: there is none yet."""
        text = sequence.answer().text
        if not sequence.ended and text.endswith('\N{REPLACEMENT CHARACTER}'):
            return ''  # the first bytes of a character whose last ones are to come
        piece, self._told = text[len(self._told) :], text
        return piece
