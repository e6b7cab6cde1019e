# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Answers decoded on a GPU: the next token is under way before the last one was looked at.

The device draws the most probable token itself and goes on from it.  The host looks at a token
while the next one is computed; when it ends an answer, what was computed for that answer is left
out.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
from typing import TYPE_CHECKING

import torch

from streamvlm_ros.engine.kvcache.contexts import BatchContext
from streamvlm_ros.engine.runner.model_runner import ModelRunner
from streamvlm_ros.engine.runner.passes import DecodePass

if TYPE_CHECKING:
    from streamvlm_ros.engine.questions.answering import Answering

# Tokens that a tail is given room for at once while its answer is decoded.
AHEAD = 64


@dataclasses.dataclass(frozen=True)
class _Flight:
    """A launched step: whose tokens it computes, and where these come to."""

    answers: tuple[Answering, ...]
    tokens: torch.Tensor
    arrived: torch.cuda.Event | None

    def wait(self) -> list[int]:
        if self.arrived is not None:
            self.arrived.synchronize()
        return self.tokens.tolist()


class Decoding:
    """Decodes open answers together, one token a step."""

    def __init__(self, passes: ModelRunner) -> None:
        """Launch nothing yet."""
        self._passes = passes
        self._flight: _Flight | None = None

    def step(self, answers: Sequence[Answering]) -> bool:
        """Give a token to every answer; those that joined a running batch get theirs later.

        Returns:
            Whether kernels could do it; if not, nothing was done.

        """
        flight, self._flight = self._flight, None
        if flight is None or not set(flight.answers) & set(answers):
            flight = self._launch(answers)
            if flight is None:
                return False
        if flight.answers == tuple(answers) and all(
            self._passes_over(answer) for answer in answers
        ):
            self._flight = self._fly(flight.answers, self._passes.go_on(len(answers)))
        for answer, token in zip(flight.answers, flight.wait()):
            if answer in answers:
                answer.fed()
                answer.accept(token)
        return True

    def _launch(self, answers: Sequence[Answering]) -> _Flight | None:
        contexts = [answer.branch.context for answer in answers]
        for context in contexts:
            if context.tail.length + 2 > context.tail.capacity:
                context.tail.reserve(AHEAD)
        table = BatchContext(contexts).table(1)
        if table is None:
            return None
        work = self._passes.batch(
            [answer.tokens[-1] for answer in answers],
            [answer.branch.state.last_cache_position + 1 for answer in answers],
            table,
        )
        return self._fly(tuple(answers), work)

    @staticmethod
    def _fly(answers: tuple[Answering, ...], work: DecodePass) -> _Flight:
        if not work.tokens.is_cuda:
            return _Flight(answers, work.tokens[: len(answers)].clone(), None)
        tokens = work.tokens[: len(answers)].to('cpu', non_blocking=True)
        arrived = torch.cuda.current_stream(work.tokens.device).record_event()
        return _Flight(answers, tokens, arrived)

    @staticmethod
    def _passes_over(answer: Answering) -> bool:
        """Tell whether one more token than is under way fits, and could be wanted."""
        tail = answer.branch.context.tail
        return tail.length + 2 <= tail.capacity and answer.left > 1
