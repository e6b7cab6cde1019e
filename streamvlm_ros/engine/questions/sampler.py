# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How the next token is chosen from logits."""

from __future__ import annotations

import dataclasses

import torch


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
        """Draw a token id from float32 logits [vocabulary]; the temperature is above 0."""
        probabilities, order = (logits / self.temperature).softmax(-1).sort(descending=True)
        before = probabilities.cumsum(-1) - probabilities
        # The most probable token stays whatever top_p is.
        probabilities[1:][before[1:] >= self.top_p] = 0
        return int(order[torch.multinomial(probabilities, 1)])


GREEDY = SamplingParams()
