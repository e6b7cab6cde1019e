# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Exact attention over a prefix that is read in place and a short piece behind it."""

from __future__ import annotations

import torch

from streamvlm_ros.engine.cache import KeysValues


def causal_mask(queries: int, keys: int, device: torch.device) -> torch.Tensor:
    """Return the lower-right causal mask, bool [queries, keys]; True is seen."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def attend(query: torch.Tensor, seen: KeysValues, own: KeysValues,
           mask: torch.Tensor) -> torch.Tensor:
    """Attend to two pieces and merge them by their log-sum-exp.

    Grouped heads are folded into the query rows, so keys and values are never expanded.

    Args:
        query: [heads, n, head_dim], rotated.
        seen: keys and values [kv_heads, s, head_dim] that every query sees; s may be 0.
        own: keys and values [kv_heads, m, head_dim], seen as ``mask`` says.
        mask: bool [n, m], at least one True a row.

    Returns:
        [heads, n, head_dim] in the dtype of ``query``.

    """
    heads, n, head_dim = query.shape
    kv_heads = own[0].shape[0]
    groups = heads // kv_heads
    folded = query.reshape(kv_heads, groups * n, head_dim)
    result, lse = _partial(folded, own, mask.repeat(groups, 1))
    if seen[0].shape[1]:
        other, other_lse = _partial(folded, seen, None)
        share = torch.sigmoid(lse - other_lse).unsqueeze(-1)
        result = torch.lerp(other, result, share)
    return result.reshape(heads, n, head_dim).to(query.dtype)


def _partial(query: torch.Tensor, piece: KeysValues,
             mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
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
                      mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Do the same written out: what the kernels are held to, and the way without one."""
    keys, values = piece
    scores = (query.float() @ keys.float().mT) * query.shape[-1] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float('-inf'))
    lse = scores.logsumexp(-1)
    return torch.exp(scores - lse.unsqueeze(-1)) @ values.float(), lse
