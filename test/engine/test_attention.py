# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Attention over pieces is exact, whatever kernel a piece takes."""

from __future__ import annotations

import pytest
import torch

from streamvlm_ros.engine.attention import attend, reference_partial, Tree


def causal(queries: int, keys: int) -> torch.Tensor:
    """Return the lower-right causal mask, bool [queries, keys]; True is seen."""
    return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)


@pytest.mark.parametrize('heads, kv_heads, n, seen, own', [
    (4, 2, 7, (), 7), (4, 2, 7, (0,), 7), (4, 2, 7, (33,), 7), (6, 1, 1, (50,), 4),
    (2, 2, 16, (150, 150), 20), (8, 4, 1, (1,), 1), (4, 2, 5, (3, 0, 40, 1), 5)])
def test_pieces_equal_one_softmax(heads, kv_heads, n, seen, own):
    """Merged by log-sum-exp they give what one float64 softmax over all of them gives."""
    total = sum(seen)
    torch.manual_seed(heads * n + total)
    query = torch.randn(heads, n, 16)
    keys, values = torch.randn(2, kv_heads, total + own, 16)
    mask = causal(n, own)
    cut = list(zip(keys.split([*seen, own], 1), values.split([*seen, own], 1)))
    result = attend(query, [*((*piece, None) for piece in cut[:-1]), (*cut[-1], Tree.causal(n))])
    expanded = [x.double().repeat_interleave(heads // kv_heads, 0) for x in (keys, values)]
    scores = query.double() @ expanded[0].mT / 4
    whole = torch.cat([torch.ones(n, total, dtype=torch.bool), mask], dim=1)
    expected = scores.masked_fill(~whole, float('-inf')).softmax(-1) @ expanded[1]
    assert (result - expected).abs().max() < 1e-5


def test_half_precision_takes_the_written_out_way():
    """Without a kernel for it the reference serves; the dtype stays."""
    query, keys, values = torch.randn(3, 2, 5, 16).bfloat16()
    result = attend(query, [(keys, values, Tree.causal(5))])
    assert result.dtype == torch.bfloat16
    expected = reference_partial(query.float(), (keys.float(), values.float()), causal(5, 5))[0]
    assert torch.allclose(result.float(), expected, atol=2e-2)


def test_nothing_to_attend_to():
    """Only empty pieces are refused."""
    query, keys, values = torch.randn(3, 2, 5, 16)
    with pytest.raises(ValueError, match='nothing to attend to'):
        attend(query, [(keys[:, :0], values[:, :0], None)])
