# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Scores of the next token, changed as transformers' logits processors and warpers change them.

The same operations in the same order and in float32, so that the results are the same to the last
bit on a CPU.  Source: ``generation/logits_process.py`` of transformers 5.
"""

from __future__ import annotations

import torch

LEFT_OUT = float('-inf')


def penalize(
    scores: torch.Tensor, seen: torch.Tensor, penalty: float | torch.Tensor
) -> torch.Tensor:
    """Make tokens that were seen less probable (arXiv 1909.05858, section 4.1).

    Args:
        scores: float32 [..., vocabulary].
        seen: bool, of the same shape: tokens that prompt or answer have.
        penalty: above 1 less probable; a tensor is float32 [..., 1].

    """
    penalized = torch.where(scores < 0, scores * penalty, scores / penalty)
    return torch.where(seen, penalized, scores)


def warp(
    scores: torch.Tensor, temperature: float, top_k: int, top_p: float, min_p: float
) -> torch.Tensor:
    """Return the scores that a token is drawn by; those of tokens that are left out are -inf.

    The temperature comes first, then what each of ``top_k``, ``top_p`` and ``min_p`` leaves.

    Args:
        scores: float32 [..., vocabulary].
        temperature: above 0.
        top_k: 0: all tokens.
        top_p: 0 to 1; the most probable token always stays.
        min_p: 0 to 1.

    """
    if temperature != 1.0:
        scores = scores / temperature
    if top_k:
        least = torch.topk(scores, min(top_k, scores.shape[-1]))[0][..., -1, None]
        scores = scores.masked_fill(scores < least, LEFT_OUT)
    if top_p < 1.0:
        ascending, order = torch.sort(scores, descending=False)
        gone = ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - top_p
        gone[..., -1:] = False
        scores = scores.masked_fill(gone.scatter(-1, order, gone), LEFT_OUT)
    if min_p:
        shares = torch.softmax(scores, dim=-1)
        scores = scores.masked_fill(shares < min_p * shares.amax(dim=-1, keepdim=True), LEFT_OUT)
    return scores
