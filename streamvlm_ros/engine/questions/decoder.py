# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The decode loop of a model: one new token of every open answer at a time.

On a GPU the next token is under way before the last one was looked at: the device takes the most
probable token itself and continues with it.  The host looks at a token while the next one is
computed; if the token ends an answer, the next token of that answer is discarded.
"""

from __future__ import annotations

from collections import abc
import dataclasses

import torch

from streamvlm_ros.engine.kvcache.contexts import BatchContext
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.models.position_rule import PositionRule
from streamvlm_ros.engine.questions.sequence import Sequence
from streamvlm_ros.engine.runner.model_runner import ModelRunner, PerModel
from streamvlm_ros.engine.runner.penalties import Penalty

# Tokens for which a tail is given room at once while its answer is decoded.
ROOM = 64


@dataclasses.dataclass(frozen=True)
class _Flight:
    """A launched step: the sequences whose tokens it computes, and where the tokens arrive.

    Attributes:
        sequences: in the order of the tokens.
        tokens: int64 [sequences], on the CPU.
        arrived: when the tokens are there; None: they are.

    """

    sequences: tuple[Sequence, ...]
    tokens: torch.Tensor
    arrived: torch.cuda.Event | None

    @classmethod
    def of(cls, sequences: tuple[Sequence, ...], tokens: torch.Tensor) -> _Flight:
        """Begin to bring a launched step's tokens to the host."""
        if not tokens.is_cuda:
            return cls(sequences, tokens.clone(), None)
        arriving = tokens.to('cpu', non_blocking=True)
        return cls(sequences, arriving, torch.cuda.current_stream(tokens.device).record_event())

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

    @staticmethod
    def of(model: StreamingModel) -> Decoder:
        """Return the one decoder of a model."""
        return _DECODERS.of(model)

    def step(self, sequences: abc.Sequence[Sequence]) -> None:
        """Decode one token of every sequence, none of which has ended, in one pass.

        On a GPU an answer that joins a running batch gets its token one step later.  If the pass
        fails, no answer has changed.
        """
        if not sequences:
            return
        flight, self._flight = self._flight, None
        if all(sequence.greedy for sequence in sequences):
            if flight is None or not set(flight.sequences) & set(sequences):
                flight = self._launch(sequences)
            if flight is not None:
                self._land(flight, sequences)
                return
        for sequence, logits in zip(sequences, self.feed_last_tokens(sequences)):
            sequence.take(logits)

    def feed_last_tokens(self, sequences: abc.Sequence[Sequence]) -> torch.Tensor:
        """Prefill the last token of every sequence, each on its branch, all in one pass.

        Returns:
            Float32 logits [sequences, vocabulary].

        """
        placed = [PositionRule.decode(sequence.state) for sequence in sequences]
        logits = self._runner.decode(
            [sequence.tokens[-1] for sequence in sequences],
            torch.cat([positions for positions, _ in placed], dim=1),
            BatchContext([sequence.context for sequence in sequences]),
        )
        for sequence, (_, state) in zip(sequences, placed):
            sequence.state = state
        return logits

    def _launch(self, sequences: abc.Sequence[Sequence]) -> _Flight | None:
        """Launch a step of some answers; return None if the model has to be run directly."""
        passes = self._runner.passes
        if passes is None:
            return None
        contexts = [sequence.context for sequence in sequences]
        for context in contexts:
            if context.tail.length + 2 > context.tail.capacity:
                context.tail.reserve(ROOM)
        table = BatchContext(contexts).table(1)
        if table is None:
            return None
        tokens = passes.decode(
            [sequence.tokens[-1] for sequence in sequences],
            [sequence.state.last_cache_position + 1 for sequence in sequences],
            table,
            [_penalty(sequence) for sequence in sequences],
        )
        return _Flight.of(tuple(sequences), tokens)

    def _land(self, flight: _Flight, sequences: abc.Sequence[Sequence]) -> None:
        """Launch the step after a launched one, and hand out the tokens of the launched one."""
        passes = self._runner.passes
        if (
            passes is not None
            and flight.sequences == tuple(sequences)
            and all(_goes_on(sequence) for sequence in sequences)
        ):
            self._flight = _Flight.of(flight.sequences, passes.decode_next(len(sequences)))
        for sequence, token in zip(flight.sequences, flight.wait()):
            if sequence in sequences:
                sequence.count_last_token()
                sequence.accept(token)


def _penalty(sequence: Sequence) -> Penalty | None:
    """Return what makes tokens of a greedy answer less probable."""
    sampler = sequence.sampler
    if sampler is None:
        return None
    return sampler.seen(sequence.tokens), sampler.params.repetition_penalty


def _goes_on(sequence: Sequence) -> bool:
    """Tell whether a token after the one under way fits, and may be needed."""
    tail = sequence.context.tail
    return tail.length + 2 <= tail.capacity and sequence.tokens_left > 1


_DECODERS = PerModel(lambda model: Decoder(ModelRunner.of(model)))
