# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
How far attention's kernels are from float32, beside PyTorch's attention, on random numbers.

    python -m benchmark.exactness.attention

What is cached lies in segments of any length, as eviction leaves them; lengths are such that tiles
of keys are whole, broken and empty.  Rows are as many as chunks have, and as few as questions.
Trees are those of choices, over nothing to 64k cached tokens.
`worst row` is the row, of one token and head, that is wrong by the largest part of itself.

The command fails, after results are written, if a case is farther from float32 than PyTorch's by
more than a twentieth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import sys
from typing import Any

import torch
from torch.nn import functional

from benchmark.common import card, harness
from benchmark.exactness.random_trees import random_tree
from streamvlm_ros.engine.kvcache.allocator import Spans
from streamvlm_ros.engine.kvcache.buffer import KVBuffer
from streamvlm_ros.engine.kvcache.metadata import SequenceMetadata
from streamvlm_ros.engine.ops.attention import Tree
from streamvlm_ros.engine.ops.kernels import launch
from streamvlm_ros.engine.ops.kernels.attention.segments import attend_sequence

# As 7B, as 3B, and others.
HEADS = ((28, 4), (16, 2), (16, 16), (20, 1))
LAYERS, LAYER, WIDTH, SLOTS = 3, 1, 128, 67_000
# Twenty of 1 to 200 keys.
SHORT: Spans = tuple((3 + 557 * i, 4 + 557 * i + 199 * i // 19) for i in range(20))
# Rows of a pass, new tokens among them, segments of cached ones, programs that share the keys.
Case = tuple[int, int, Spans, int]
CASES: tuple[Case, ...] = (
    (512, 512, ((0, 15), (40, 4321), (5000, 8900)), 1),
    (512, 512, ((0, 15), (40, 4321), (5000, 8900)), 3),
    (512, 500, ((3, 8195),), 2),
    (512, 512, (), 1),
    (512, 512, ((7, 8),), 2),
    (144, 130, ((0, 127), (128, 300)), 7),
    (2048, 2048, ((0, 1000), (2000, 2100)), 1),
    (16, 9, ((0, 15), (40, 4321), (5000, 8900)), 32),
    (16, 9, (), 32),
    (16, 9, SHORT, 32),
    (32, 32, ((0, 15), (40, 4321), (5000, 8900)), 16),
    (32, 32, SHORT, 16),
)
# The same of trees; a pass is split among programs as in ``passes.PrefillPass``.
TREES: tuple[Case, ...] = tuple(
    (rows, new, segments, splits)
    for rows, new, splits in (
        (16, 16, 64),
        (16, 9, 32),
        (32, 29, 16),
        (64, 64, 8),
        (160, 150, 4),
        (512, 500, 2),
        (512, 512, 1),
    )
    for segments in ((), ((0, 15), (40, 4321), (5000, 8900)), ((3, 65_539),))
)
# Times as far from float32 as PyTorch's a case may be, and what float32 itself leaves open.
FARTHER, OPEN = 1.05, 1e-6


def check(device: str, dtype: torch.dtype) -> list[dict[str, Any]]:
    """Return a row for every case: norms of what is wrong over those of what is right."""
    torch.manual_seed(0)
    rows = []
    cases = [(case, kind) for kind, of in (('causal', CASES), ('tree', TREES)) for case in of]
    for heads, kv_heads in HEADS:
        buffer = KVBuffer(kv_heads, WIDTH, SLOTS, dtype, [torch.device(device)] * LAYERS)
        assert buffer.whole is not None
        buffer.whole.normal_()
        for (rows_of_pass, new, segments, splits), kind in cases:
            query, keys, values = (
                torch.randn(rows_of_pass, count, WIDTH, device=device).to(dtype)
                for count in (heads, kv_heads, kv_heads)
            )
            table = SequenceMetadata.of([(buffer, segments)], buffer, ((SLOTS - new, SLOTS),))
            assert table is not None
            cached = buffer.keys[LAYER], buffer.values[LAYER]
            older = sum(end - start for start, end in segments)
            tree = random_tree(new) if kind == 'tree' else Tree.causal(new)
            padded = functional.pad(tree.rows, (0, rows_of_pass - new)).flatten().to(device)
            got = attend_sequence(
                query,
                keys,
                values,
                torch.tensor(table.line, device=device),
                LAYER,
                kv_heads,
                splits,
                padded if kind == 'tree' else None,
            )[:new].float()
            mask = tree.mask(0, new, -older, torch.device(device))
            exact, stock = (
                _attend(
                    query[:new].to(each),
                    mask,
                    *(
                        _all(old, segments, fresh[:new], each)
                        for old, fresh in zip(cached, (keys, values))
                    ),
                )
                for each in (torch.float32, dtype)
            )
            rows.append(
                {
                    'heads': f'{heads}/{kv_heads}',
                    'kind': kind,
                    'new': new,
                    'cached': older,
                    'segments': len(segments),
                    'splits': splits,
                    **{
                        name: value
                        for who, what in (('ours', got), ('stock', stock.float()))
                        for name, value in _errors(who, what, exact).items()
                    },
                }
            )
    return rows


def too_far(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows of ``check`` in which ours is wrong by more than it may be, or no number."""
    return [row for row in rows if not row['ours'] <= FARTHER * row['stock'] + OPEN]


def _errors(who: str, got: torch.Tensor, exact: torch.Tensor) -> dict[str, float]:
    """Return how far [n, heads * head_dim] is from what is right: all of it, and the worst row."""
    wrong = got - exact
    rows = wrong.view(-1, WIDTH).norm(dim=1) / exact.view(-1, WIDTH).norm(dim=1)
    return {who: float(wrong.norm() / exact.norm()), f'{who}, worst row': float(rows.max())}


def _all(
    cached: torch.Tensor,
    segments: Spans,
    fresh: torch.Tensor,
    dtype: torch.dtype,
) -> torch.Tensor:
    """Return cached and new keys or values [kv_heads, all, head_dim]."""
    parts = [cached[:, start:end] for start, end in segments]
    return torch.cat([*parts, fresh.transpose(0, 1)], dim=1).to(dtype)


def _attend(
    query: torch.Tensor, mask: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    """Attend with PyTorch; return [n, heads * head_dim]."""
    result = functional.scaled_dot_product_attention(
        query.transpose(0, 1)[None], keys[None], values[None], attn_mask=mask, enable_gqa=True
    )
    return result[0].transpose(0, 1).flatten(1)


def main(argv: list[str] | None = None) -> None:
    """Check and write ``results/exactness_attention``; exit with 1 if a case is too far off."""
    arguments = card.parser(__doc__ or '').parse_args(argv)
    rows = check(arguments.device, harness.DTYPES[arguments.dtype])
    harness.write(
        'exactness_attention',
        {**card.describe(arguments), 'gluon': launch.HOPPER, 'rows': rows},
        rows,
        arguments.out,
    )
    if far := too_far(rows):
        sys.exit(
            f'{len(far)} of {len(rows)} cases are more than {FARTHER} times as far from '
            f'float32 as PyTorch is; the first: {far[0]}'
        )


if __name__ == '__main__':
    main()
