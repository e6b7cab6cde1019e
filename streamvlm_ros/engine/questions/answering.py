# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Answers that are decoded one token at a time, all open ones as one batch."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses

import torch

from streamvlm_ros.engine.kvcache.contexts import BatchContext
from streamvlm_ros.engine.models.prompt import Prompt
from streamvlm_ros.engine.models.qwen2_5_vl.model import StreamQwenModel
from streamvlm_ros.engine.positions import PositionRule
from streamvlm_ros.engine.questions.branch import Branch


@dataclasses.dataclass(frozen=True)
class SamplingParams:
    """How the next token is drawn.

    Attributes:
        temperature: 0 takes the most probable token.
        top_p: only the most probable tokens that hold this share are drawn from.

    """

    temperature: float = 0.0
    top_p: float = 1.0

    def draw(self, logits: torch.Tensor) -> int:
        """Return a token id for float32 logits [vocabulary]."""
        if self.temperature <= 0:
            return int(logits.argmax())
        probabilities, order = (logits / self.temperature).softmax(-1).sort(descending=True)
        before = probabilities.cumsum(-1) - probabilities
        # The most probable token stays whatever top_p is.
        probabilities[1:][before[1:] >= self.top_p] = 0
        return int(order[torch.multinomial(probabilities, 1)])


GREEDY = SamplingParams()


class Answering:
    """One answer on one branch.

    Attributes:
        branch: where the question is.
        tokens: what was drawn so far, the stop token included.
        finish_reason: ``stop`` or ``length`` when ended; empty before.

    """

    def __init__(
        self,
        branch: Branch,
        logits: torch.Tensor,
        prompt: Prompt,
        max_new_tokens: int,
        sampling: SamplingParams,
    ) -> None:
        """Draw the first token from the question's prefill."""
        self.branch = branch
        self.tokens: list[int] = []
        self.finish_reason = ''
        self._prompt = prompt
        self._max_new_tokens = max_new_tokens
        self._sampling = sampling
        self.take(logits)

    @property
    def text(self) -> str:
        """The answer so far."""
        return self._prompt.text(self.tokens)

    @property
    def greedy(self) -> bool:
        """Whether the most probable token is always taken."""
        return self._sampling.temperature <= 0

    @property
    def left(self) -> int:
        """Tokens that it may still be given."""
        return self._max_new_tokens - len(self.tokens)

    def take(self, logits: torch.Tensor) -> None:
        """Draw the next token from float32 logits [vocabulary]."""
        self.accept(self._sampling.draw(logits))

    def fed(self) -> None:
        """Count the last token as one that the branch has seen."""
        self.branch.context.advance(1)
        self.branch.state = PositionRule.decode(self.branch.state)[1]

    def accept(self, token: int) -> None:
        """Take the next token."""
        self.tokens.append(token)
        if self.tokens[-1] in self._prompt.stop:
            self.finish_reason = 'stop'
        elif len(self.tokens) >= self._max_new_tokens:
            self.finish_reason = 'length'


def decode_together(model: StreamQwenModel, answers: Sequence[Answering]) -> None:
    """Decode one token of every answer, none of which has ended, in one pass.

    If the pass fails, no answer has changed.
    """
    greedy = all(answer.greedy for answer in answers)
    if answers and not (greedy and model.decoding is not None and model.decoding.step(answers)):
        for answer, logits in zip(answers, feed_last_tokens(model, answers)):
            answer.take(logits)


def feed_last_tokens(model: StreamQwenModel, answers: Sequence[Answering]) -> torch.Tensor:
    """Prefill the last token of every answer, each on its branch, all in one pass.

    Projections and MLPs run on all tokens at once, attention on each one's own branch, so that
    an answer is what it would be alone.

    Returns:
        Float32 logits [answers, vocabulary].

    """
    placed = [model.position_rule.decode(answer.branch.state) for answer in answers]
    hidden = model.prefill(
        model.embed([answer.tokens[-1] for answer in answers]),
        torch.cat([positions for positions, _ in placed], dim=1),
        BatchContext([answer.branch.context for answer in answers]),
    )
    for answer, (_, state) in zip(answers, placed):
        answer.branch.state = state
    return model.logits(hidden)
