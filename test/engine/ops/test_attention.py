# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Attention over pieces is exact, whatever kernel a piece takes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmark.exactness.random_trees import random_tree
from streamvlm_ros.engine.ops.attention import attend, reference_partial, Tree


def causal(queries: int, keys: int) -> torch.Tensor:
    """Return the lower-right causal mask, bool [queries, keys]; True is seen."""
    return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)


@pytest.mark.parametrize(
    'heads, kv_heads, n, seen, own',
    [
        (4, 2, 7, (), 7),
        (4, 2, 7, (0,), 7),
        (4, 2, 7, (33,), 7),
        (6, 1, 1, (50,), 4),
        (2, 2, 16, (150, 150), 20),
        (8, 4, 1, (1,), 1),
        (4, 2, 5, (3, 0, 40, 1), 5),
    ],
)
def test_pieces_equal_one_softmax(heads: int, kv_heads: int, n: int, seen: Any, own: int) -> None:
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


def test_half_precision_takes_the_written_out_way() -> None:
    """Without a kernel for it the reference serves; the dtype stays."""
    query, keys, values = torch.randn(3, 2, 5, 16).bfloat16()
    result = attend(query, [(keys, values, Tree.causal(5))])
    assert result.dtype == torch.bfloat16
    expected = reference_partial(query.float(), (keys.float(), values.float()), causal(5, 5))[0]
    assert torch.allclose(result.float(), expected, atol=2e-2)


def test_nothing_to_attend_to() -> None:
    """Only empty pieces are refused."""
    query, keys, values = torch.randn(3, 2, 5, 16)
    with pytest.raises(ValueError, match='nothing to attend to'):
        attend(query, [(keys[:, :0], values[:, :0], None)])


def written_out(tree: Tree) -> torch.Tensor:
    """Return who sees whom, bool [n, n], one token after the other."""
    own, first, end = tree.rows.tolist()
    n = len(own)
    return torch.tensor(
        [[j <= i and (j >= own[i] or first[i] <= j < end[i]) for j in range(n)] for i in range(n)],
        dtype=torch.bool,
    ).view(n, n)


def test_a_tree_in_integers() -> None:
    """Roots see themselves, leaves their root besides; neither sees another root or leaf."""
    tree = Tree.of([(2, (0, 0)), (1, (0, 2)), (2, (0, 2)), (1, (5, 5)), (1, (5, 6))])
    assert tree.rows.tolist() == [
        [0, 0, 2, 3, 3, 5, 6],
        [0, 0, 0, 0, 0, 5, 5],
        [0, 0, 2, 2, 2, 5, 6],
    ]
    seen = ['#......', '##.....', '###....', '##.#...', '##.##..', '.....#.', '.....##']
    expected = torch.tensor([[mark == '#' for mark in row] for row in seen])
    assert torch.equal(tree.mask(0, 7, 0, torch.device('cpu')), expected)
    assert torch.equal(written_out(tree), expected)
    # What is older is seen by all, and a mask may begin anywhere.
    part = tree.mask(2, 6, -2, torch.device('cpu'))
    assert torch.equal(part, torch.cat([torch.ones(4, 2, dtype=torch.bool), expected[2:6, :6]], 1))


@pytest.mark.parametrize(
    'heads, kv_heads, n, older, seen',
    [
        (4, 2, 13, 0, ()),
        (4, 2, 300, 40, (7, 100)),
        (2, 1, 700, 0, (50,)),
        (3, 3, 1300, 300, ()),
        (2, 2, 513, 1, (0,)),
        (2, 2, 2, 900, ()),
    ],
)
@pytest.mark.parametrize('kind', ['causal', 'trees'])
def test_new_tokens_equal_one_softmax(
    heads: int, kv_heads: int, n: int, older: int, seen: Any, kind: str
) -> None:
    """Blocks of rows, after older tokens of the same piece, give what one softmax gives."""
    torch.manual_seed(n)
    tree = Tree.causal(n) if kind == 'causal' else random_tree(n)
    query = torch.randn(heads, n, 16)
    keys, values = torch.randn(2, kv_heads, sum(seen) + older + n, 16)
    sizes = [*seen, older + n]
    cut = list(zip(keys.split(sizes, 1), values.split(sizes, 1)))
    result = attend(query, [*((*piece, None) for piece in cut[:-1]), (*cut[-1], tree)])
    expanded = [x.double().repeat_interleave(heads // kv_heads, 0) for x in (keys, values)]
    whole = torch.cat([torch.ones(n, sum(seen) + older, dtype=torch.bool), written_out(tree)], 1)
    scores = (query.double() @ expanded[0].mT / 4).masked_fill(~whole, float('-inf'))
    assert (result - scores.softmax(-1) @ expanded[1]).abs().max() < 1e-5


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('kind', ['causal', 'trees'])
def test_memory_grows_with_the_tokens(kind: str, dtype: torch.dtype) -> None:
    """No tensor has more numbers than a block of rows of both heads and the keys have together."""
    for n in (512, 1250, 5000):
        tree = Tree.causal(n) if kind == 'causal' else random_tree(n)
        numbers = Largest.of(n, tree, dtype)
        assert n <= numbers <= 2 * 512 * n
        if kind == 'causal' and dtype == torch.float32:
            # What is older than the block needs no mask.
            assert numbers <= 2 * 512 * 512


class Largest(TorchDispatchMode):
    """Notes how many numbers the largest tensor has that is made while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ):
        made = func(*args, **(kwargs or {}))
        for each in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(each, torch.Tensor):
                self.numbers = max(self.numbers, each.numel())
        return made

    @classmethod
    def of(cls, n: int, tree: Tree, dtype: torch.dtype) -> int:
        """Return what attention from so many new tokens of few numbers each needs."""
        query, keys, values = torch.randn(n, 8), torch.randn(1, n, 4), torch.randn(1, n, 4)
        with cls() as noted:
            attend(
                query.view(n, 2, 4).transpose(0, 1).to(dtype),
                [(keys.to(dtype), values.to(dtype), tree)],
            )
        return noted.numbers
