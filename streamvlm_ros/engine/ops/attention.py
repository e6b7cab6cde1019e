# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Exact attention over pieces that are read in place, merged by their log-sum-exp."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import dataclasses

import torch

# Queries that attend at once. No mask has more rows, so memory grows with the number of new tokens
# and not with its square.
BLOCK = 512

KeysValues = tuple[torch.Tensor, torch.Tensor]
# A result float32 [heads, n, head_dim], and its log-sum-exp [heads, n].
Partial = tuple[torch.Tensor, torch.Tensor]


@dataclasses.dataclass(frozen=True, eq=False)
class Tree:
    """Which new tokens see each other: runs of tokens, each after at most one earlier run.

    Token i sees token j if j <= i, and j >= own[i] or first[i] <= j < end[i].

    Attributes:
        rows: int64 [3, n] on the CPU: own: where the token's own run begins; first and
            end: the run that this one follows, equal if there is none.

    """

    rows: torch.Tensor

    @classmethod
    def causal(cls, tokens: int) -> Tree:
        """Return the tree that is one run: every token sees itself and all before it."""
        return cls(torch.zeros(3, tokens, dtype=torch.long))

    @classmethod
    def of(cls, runs: Sequence[tuple[int, tuple[int, int]]]) -> Tree:
        """Return the tree of runs, each (tokens, (first, end) of the run before it)."""
        rows: tuple[list[int], ...] = ([], [], [])
        for tokens, behind in runs:
            for row, number in zip(rows, (len(rows[0]), *behind), strict=True):
                row += [number] * tokens
        return cls(torch.tensor(rows, dtype=torch.long))

    def mask(self, start: int, end: int, low: int, device: torch.device) -> torch.Tensor:
        """Return what tokens ``start`` to ``end - 1`` see, bool [end - start, end - low].

        Args:
            start: the first of them.
            end: one past the last.
            low: the token of the first column; tokens below 0 are cached ones, which all see.
            device: of the mask.

        """
        own, first, last = self.rows[:, start:end, None].to(device)
        token = torch.arange(start, end, device=device)[:, None]
        other = torch.arange(low, end, device=device)
        seen = (other >= own) | ((other >= first) & (other < last)) | (other < 0)
        return seen & (other <= token)


# Keys and values [kv_heads, s, head_dim], and which queries see them. None: all queries see all.
# With a tree, the last keys are those of the queries, and all queries see the keys before them.
Piece = tuple[torch.Tensor, torch.Tensor, Tree | None]


def join_heads(attended: torch.Tensor) -> torch.Tensor:
    """Return [n, heads * head_dim] for [heads, n, head_dim]."""
    return attended.transpose(0, 1).flatten(1)


def attend(query: torch.Tensor, pieces: Sequence[Piece]) -> torch.Tensor:
    """Attend to all pieces.

    Keys carry their rotation, so the order of the pieces does not matter.

    Args:
        query: [heads, n, head_dim], rotated.
        pieces: at least one; empty ones are skipped. A piece with a tree ends with the n queries'
            own keys and values.

    Returns:
        [heads, n, head_dim] in the dtype of ``query``.

    """
    return attend_partly(query, pieces)[0].to(query.dtype)


def attend_partly(query: torch.Tensor, pieces: Sequence[Piece]) -> Partial:
    """Attend to some of what the queries see; ``merge`` joins it with the rest.

    Args:
        query: [heads, n, head_dim], rotated.
        pieces: as for ``attend``.

    Returns:
        The result and its log-sum-exp.

    """
    blocks = [_attend_block(query, pieces, start) for start in range(0, query.shape[1], BLOCK)]
    if len(blocks) == 1:
        return blocks[0]
    return torch.cat([part for part, _ in blocks], 1), torch.cat([part for _, part in blocks], 1)


def _attend_block(query: torch.Tensor, pieces: Sequence[Piece], start: int) -> Partial:
    """Attend from at most BLOCK queries.

    Grouped heads are folded into the query rows, so keys and values are never expanded.
    """
    tokens, kv_heads = query.shape[1], pieces[0][0].shape[0]
    query = query[:, start : start + BLOCK]
    heads, n, head_dim = query.shape
    groups = heads // kv_heads
    folded = query.reshape(kv_heads, groups * n, head_dim)
    result: Partial | None = None
    for piece in pieces:
        for keys, values, mask in _seen(piece, start, start + n, tokens):
            rows = None if mask is None else mask.repeat(groups, 1)
            part = _partial(folded, (keys, values), rows)
            result = part if result is None else merge(result, part)
    if result is None:
        raise ValueError('There is nothing to attend to.')
    return result[0].reshape(heads, n, head_dim), result[1].reshape(heads, n)


def _seen(
    piece: Piece,
    start: int,
    end: int,
    tokens: int,
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]]:
    """Yield the parts of a piece that new tokens ``start`` to ``end - 1`` see.

    Yields:
        Keys, values, and bool [end - start, keys]: which are seen; None: all.

    """
    keys, values, tree = piece
    if not keys.shape[1]:
        return
    if tree is None:
        yield keys, values, None
        return
    older = keys.shape[1] - tokens
    low = -older
    if (end - start) * (older + end) > BLOCK * BLOCK:
        # If all of it is one run, the whole block sees every token before it.
        low = 0 if tree.rows[0, start:end].any() else start
    seen = older + low
    if seen:
        yield keys[:, :seen], values[:, :seen], None
    there = slice(seen, older + end)
    yield keys[:, there], values[:, there], tree.mask(start, end, low, keys.device)


def merge(one: Partial, other: Partial) -> Partial:
    """Join the results of the same queries over two disjoint sets of keys."""
    share = torch.sigmoid(one[1] - other[1]).unsqueeze(-1)
    return torch.lerp(other[0], one[0], share), torch.logaddexp(one[1], other[1])


def _partial(query: torch.Tensor, piece: KeysValues, mask: torch.Tensor | None) -> Partial:
    """Return attention over one piece in float32, and its log-sum-exp [kv_heads, rows]."""
    keys, values = piece
    if mask is None and query.is_cuda and query.dtype in (torch.bfloat16, torch.float16):
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention(
            query[None], keys[None], values[None]
        )[:2]
        return out[0].float(), lse[0]
    if not query.is_cuda and query.dtype == torch.float32:
        bias = (
            None
            if mask is None
            else torch.zeros_like(mask, dtype=query.dtype).masked_fill_(~mask, float('-inf'))
        )
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query[None], keys[None], values[None], attn_mask=bias
        )
        return out[0], lse[0]
    return reference_partial(query, piece, mask)


def reference_partial(
    query: torch.Tensor, piece: KeysValues, mask: torch.Tensor | None
) -> Partial:
    """Compute the same in plain operations: the reference of the kernels, and the fallback."""
    keys, values = piece
    scores = (query.float() @ keys.float().mT) * query.shape[-1] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float('-inf'))
    lse = scores.logsumexp(-1)
    return torch.exp(scores - lse.unsqueeze(-1)) @ values.float(), lse
