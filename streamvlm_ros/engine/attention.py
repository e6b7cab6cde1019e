# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Exact attention over pieces that are read in place, merged by their log-sum-exp."""

from __future__ import annotations

from collections.abc import Sequence

import torch

KeysValues = tuple[torch.Tensor, torch.Tensor]
# Keys and values [kv_heads, s, head_dim], s above 0, and who sees them: bool [n, s], at least one
# True a row over all pieces; None: every query sees all of them.
Piece = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]
# A result float32 [heads, n, head_dim], and its log-sum-exp [heads, n].
Partial = tuple[torch.Tensor, torch.Tensor]


def causal_mask(queries: int, keys: int, device: torch.device) -> torch.Tensor:
    """Return the lower-right causal mask, bool [queries, keys]; True is seen."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def join_heads(attended: torch.Tensor) -> torch.Tensor:
    """Return [n, heads * head_dim] for [heads, n, head_dim]."""
    return attended.transpose(0, 1).flatten(1)


def attend(query: torch.Tensor, pieces: Sequence[Piece]) -> torch.Tensor:
    """Attend to all pieces.

    Keys carry their rotation, so the order of the pieces does not matter.

    Args:
        query: [heads, n, head_dim], rotated.
        pieces: at least one of them; empty ones are passed over.

    Returns:
        [heads, n, head_dim] in the dtype of ``query``.

    """
    return attend_partly(query, pieces)[0].to(query.dtype)


def attend_partly(query: torch.Tensor, pieces: Sequence[Piece]) -> Partial:
    """Attend to some of what the queries see; ``merge`` joins it with the rest.

    Grouped heads are folded into the query rows, so keys and values are never expanded.

    Args:
        query: [heads, n, head_dim], rotated.
        pieces: as for ``attend``; each row of a piece's mask has at least one True.

    Returns:
        What they give, and its log-sum-exp.

    """
    heads, n, head_dim = query.shape
    kv_heads = pieces[0][0].shape[0]
    groups = heads // kv_heads
    folded = query.reshape(kv_heads, groups * n, head_dim)
    result: Partial | None = None
    for keys, values, mask in pieces:
        if not keys.shape[1]:
            continue
        rows = None if mask is None else mask.repeat(groups, 1)
        part = _partial(folded, (keys, values), rows)
        result = part if result is None else merge(result, part)
    if result is None:
        raise ValueError('There is nothing to attend to.')
    return result[0].reshape(heads, n, head_dim), result[1].reshape(heads, n)


def merge(one: Partial, other: Partial) -> Partial:
    """Join what the same queries give over two disjoint sets of keys."""
    share = torch.sigmoid(one[1] - other[1]).unsqueeze(-1)
    return torch.lerp(other[0], one[0], share), torch.logaddexp(one[1], other[1])


def _partial(query: torch.Tensor, piece: KeysValues,
             mask: torch.Tensor | None) -> Partial:
    """Return attention over one piece in float32, and its log-sum-exp [kv_heads, rows]."""
    keys, values = piece
    if mask is None and query.is_cuda and query.dtype in (torch.bfloat16, torch.float16):
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention(
            query[None], keys[None], values[None])[:2]
        return out[0].float(), lse[0]
    if not query.is_cuda and query.dtype == torch.float32:
        bias = None if mask is None else torch.zeros_like(mask, dtype=query.dtype).masked_fill_(
            ~mask, float('-inf'))
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query[None], keys[None], values[None], attn_mask=bias)
        return out[0], lse[0]
    return reference_partial(query, piece, mask)


def reference_partial(query: torch.Tensor, piece: KeysValues,
                      mask: torch.Tensor | None) -> Partial:
    """Do the same written out: what the kernels are held to, and the way without one."""
    keys, values = piece
    scores = (query.float() @ keys.float().mT) * query.shape[-1] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float('-inf'))
    lse = scores.logsumexp(-1)
    return torch.exp(scores - lse.unsqueeze(-1)) @ values.float(), lse
