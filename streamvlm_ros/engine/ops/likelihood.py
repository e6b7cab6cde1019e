# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Log-probabilities of single tokens, without the logits of all positions at once."""

from __future__ import annotations

from collections.abc import Callable

import torch

# Rows of [rows, vocabulary] that are computed at once.
ROWS = 64


def log_probabilities(
    logits: Callable[[torch.Tensor], torch.Tensor], hidden: torch.Tensor, wanted: torch.Tensor
) -> torch.Tensor:
    """Return the log-probability of one token after each hidden state.

    Args:
        logits: returns float32 [rows, vocabulary] for hidden states [rows, hidden_size].
        hidden: [n, hidden_size], n above 0.
        wanted: int64 [n], the tokens.

    Returns:
        Float32 [n], on the device of the logits.

    """
    parts = []
    for rows, tokens in zip(hidden.split(ROWS), wanted.split(ROWS), strict=True):
        every = logits(rows).log_softmax(-1)
        parts.append(every.gather(1, tokens.to(every.device)[:, None])[:, 0])
    return torch.cat(parts)
