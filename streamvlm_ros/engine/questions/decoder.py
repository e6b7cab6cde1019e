# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The decode loop of a model: one new token of every open answer at a time.

On a GPU the next token is under way before the last one was looked at: the device takes the most
probable token itself and goes on from it.  The host looks at a token while the next one is
computed; when the token ends an answer, what was computed for that answer is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import threading
import weakref

import torch

from streamvlm_ros.engine.kvcache.contexts import BatchContext
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.models.position_rule import PositionRule
from streamvlm_ros.engine.questions.answering import Answering
from streamvlm_ros.engine.runner.model_runner import ModelRunner

# Tokens for which a tail is given room at once while its answer is decoded.
ROOM = 64


@dataclasses.dataclass(frozen=True)
class _Flight:
    """A launched step: the answers whose tokens it computes, and where the tokens arrive.

    Attributes:
        answers: in the order of the tokens.
        tokens: int64 [answers], on the CPU.
        arrived: when the tokens are there; None: they are.

    """

    answers: tuple[Answering, ...]
    tokens: torch.Tensor
    arrived: torch.cuda.Event | None

    @classmethod
    def of(cls, answers: tuple[Answering, ...], tokens: torch.Tensor) -> _Flight:
        """Begin to bring a launched step's tokens to the host."""
        if not tokens.is_cuda:
            return cls(answers, tokens.clone(), None)
        arriving = tokens.to('cpu', non_blocking=True)
        return cls(answers, arriving, torch.cuda.current_stream(tokens.device).record_event())

    def wait(self) -> list[int]:
        """Return the tokens once they are there."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return self.tokens.tolist()


class Decoder:
    """Decodes the open answers of all streams over one model together."""

    def __init__(self, runner: ModelRunner) -> None:
        """Decode with a runner; ``of`` is what gives every stream the same decoder."""
        self._runner = runner
        self._flight: _Flight | None = None

    @classmethod
    def of(cls, model: StreamingModel) -> Decoder:
        """Return the one decoder of a model."""
        with _LOCK:
            decoder = _DECODERS.get(model)
            if decoder is None:
                decoder = _DECODERS[model] = cls(ModelRunner.of(model))
            return decoder

    def step(self, answers: Sequence[Answering]) -> None:
        """Decode one token of every answer, none of which has ended, in one pass.

        On a GPU an answer that joins a running batch gets its token one step later.  If the pass
        fails, no answer has changed.
        """
        if not answers:
            return
        flight, self._flight = self._flight, None
        if all(answer.greedy for answer in answers):
            if flight is None or not set(flight.answers) & set(answers):
                flight = self._launch(answers)
            if flight is not None:
                self._land(flight, answers)
                return
        for answer, logits in zip(answers, self.feed_last_tokens(answers)):
            answer.take(logits)

    def feed_last_tokens(self, answers: Sequence[Answering]) -> torch.Tensor:
        """Prefill the last token of every answer, each on its branch, all in one pass.

        Returns:
            Float32 logits [answers, vocabulary].

        """
        placed = [PositionRule.decode(answer.branch.state) for answer in answers]
        logits = self._runner.decode(
            [answer.tokens[-1] for answer in answers],
            torch.cat([positions for positions, _ in placed], dim=1),
            BatchContext([answer.branch.context for answer in answers]),
        )
        for answer, (_, state) in zip(answers, placed):
            answer.branch.state = state
        return logits

    def _launch(self, answers: Sequence[Answering]) -> _Flight | None:
        """Launch a step of some answers; None where the model has to be run directly."""
        passes = self._runner.passes
        if passes is None:
            return None
        contexts = [answer.branch.context for answer in answers]
        for context in contexts:
            if context.tail.length + 2 > context.tail.capacity:
                context.tail.reserve(ROOM)
        table = BatchContext(contexts).table(1)
        if table is None:
            return None
        tokens = passes.decode(
            [answer.tokens[-1] for answer in answers],
            [answer.branch.state.last_cache_position + 1 for answer in answers],
            table,
        )
        return _Flight.of(tuple(answers), tokens)

    def _land(self, flight: _Flight, answers: Sequence[Answering]) -> None:
        """Launch the step after a launched one, and give the launched one's tokens out."""
        passes = self._runner.passes
        if (
            passes is not None
            and flight.answers == tuple(answers)
            and all(_goes_on(answer) for answer in answers)
        ):
            self._flight = _Flight.of(flight.answers, passes.decode_next(len(answers)))
        for answer, token in zip(flight.answers, flight.wait()):
            if answer in answers:
                answer.fed()
                answer.accept(token)


def _goes_on(answer: Answering) -> bool:
    """Tell whether one more token than is under way fits, and may be wanted."""
    tail = answer.branch.context.tail
    return tail.length + 2 <= tail.capacity and answer.left > 1


# A decoder lives as long as its model; neither it nor its runner has a strong reference to it.
_DECODERS: weakref.WeakKeyDictionary[StreamingModel, Decoder] = weakref.WeakKeyDictionary()
_LOCK = threading.Lock()
