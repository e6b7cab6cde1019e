# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An answer on its way: what was drawn so far, and how the next token is drawn."""

from __future__ import annotations

import dataclasses

import torch

from streamvlm_ros.engine.models.position_rule import PositionRule
from streamvlm_ros.engine.models.prompt import Prompt
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

    def sample(self, logits: torch.Tensor) -> int:
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
        self.accept(self._sampling.sample(logits))

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
