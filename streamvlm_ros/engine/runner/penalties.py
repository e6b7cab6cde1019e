# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Repetition penalties of a batch of branches, in buffers that a recorded pass works on.

The pass marks the token that it takes itself, so that it can go on before the host has looked.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from streamvlm_ros.engine.ops.sampling import penalize

# A branch's: bool [vocabulary], what its prompt and its answer have; and the penalty.
Penalty = tuple[torch.Tensor, float]


class Penalties:
    """What makes tokens less probable, for every branch of a batch."""

    def __init__(self, batch: int, vocabulary: int, device: torch.device) -> None:
        """Begin without a penalty."""
        self._seen = torch.zeros(batch, vocabulary, dtype=torch.bool, device=device)
        self._factors = torch.ones(batch, 1, device=device)

    def load(self, penalties: Sequence[Penalty | None]) -> None:
        """Set those of the branches of the next run; the host does not wait."""
        factors = torch.ones(len(self._factors), 1)
        for index, penalty in enumerate(penalties):
            if penalty is not None:
                self._seen[index].copy_(penalty[0])
                factors[index] = penalty[1]
        if self._factors.is_cuda:
            factors = factors.pin_memory()
        self._factors.copy_(factors, non_blocking=True)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the scores for float32 logits [batch, vocabulary]."""
        return penalize(logits, self._seen, self._factors)

    def mark(self, tokens: torch.Tensor) -> None:
        """Mark the tokens that the branches have taken, int64 [batch]."""
        self._seen.scatter_(1, tokens[:, None], True)
