# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A question's life: prefill, one decode step at a time, the text at the end."""

from __future__ import annotations

import dataclasses

import torch

from streamvlm_ros.engine.branch import Branch
from streamvlm_ros.engine.prompt import Prompt


@dataclasses.dataclass(frozen=True)
class Sampling:
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


GREEDY = Sampling()


class Answering:
    """Decodes one answer on one branch.

    Attributes:
        branch: where the question is.
        tokens: what was drawn so far, the stop token included.
        finish_reason: ``stop`` or ``length`` when ended; empty before.

    """

    def __init__(self, branch: Branch, logits: torch.Tensor, prompt: Prompt,
                 max_new_tokens: int, sampling: Sampling) -> None:
        """Draw the first token from the question's prefill."""
        self.branch = branch
        self.tokens: list[int] = []
        self.finish_reason = ''
        self._prompt = prompt
        self._max_new_tokens = max_new_tokens
        self._sampling = sampling
        self._take(logits)

    def step(self) -> bool:
        """Decode one token; return whether the answer has ended."""
        if not self.finish_reason:
            self._take(self.branch.prefill(self.tokens[-1:]))
        return bool(self.finish_reason)

    @property
    def text(self) -> str:
        """The answer so far."""
        return self._prompt.text(self.tokens)

    def _take(self, logits: torch.Tensor) -> None:
        self.tokens.append(self._sampling.draw(logits))
        if self.tokens[-1] in self._prompt.stop:
            self.finish_reason = 'stop'
        elif len(self.tokens) >= self._max_new_tokens:
            self.finish_reason = 'length'
