# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
How far attention's kernels are from float32, beside PyTorch's attention, on random numbers.

    python -m benchmark.exactness_attention

What is cached lies in segments of any length, as eviction leaves them; lengths are such that tiles
of keys are whole, broken and empty.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from benchmark import card, setup
from streamvlm_ros.engine.kernels.attention import attend_sequence
from streamvlm_ros.engine.kv_buffer import KVBuffer
from streamvlm_ros.engine.slots import Spans
from streamvlm_ros.engine.tables import SequenceTable

# As 7B, as 3B, and others.
HEADS = ((28, 4), (16, 2), (16, 16), (20, 1))
LAYERS, LAYER, WIDTH, SLOTS = 3, 1, 128, 12_000
# Rows of a pass, new tokens among them, segments of cached ones, programs that share the keys.
CASES: tuple[tuple[int, int, Spans, int], ...] = (
    (512, 512, ((0, 15), (40, 4321), (5000, 8900)), 1),
    (512, 512, ((0, 15), (40, 4321), (5000, 8900)), 3),
    (512, 500, ((3, 8195),), 2),
    (512, 512, (), 1),
    (512, 512, ((7, 8),), 2),
    (144, 130, ((0, 127), (128, 300)), 7),
    (2048, 2048, ((0, 1000), (2000, 2100)), 1),
)


def check(device: str, dtype: torch.dtype) -> list[dict[str, Any]]:
    """Return a row for every case: the norm of what is wrong over that of what is right."""
    torch.manual_seed(0)
    rows = []
    for heads, kv_heads in HEADS:
        buffer = KVBuffer(kv_heads, WIDTH, SLOTS, dtype, [torch.device(device)] * LAYERS)
        assert buffer.whole is not None
        buffer.whole.normal_()
        for rows_of_pass, new, segments, splits in CASES:
            query, keys, values = (
                torch.randn(rows_of_pass, count, WIDTH, device=device).to(dtype)
                for count in (heads, kv_heads, kv_heads))
            table = SequenceTable.of([(buffer, segments)], buffer, ((SLOTS - new, SLOTS),))
            assert table is not None
            got = attend_sequence(query, keys, values, torch.tensor(table.line, device=device),
                                  LAYER, kv_heads, splits)[:new].float()
            cached = buffer.keys[LAYER], buffer.values[LAYER]
            exact, stock = (
                _attend(query[:new].to(each), *(_all(old, segments, fresh[:new], each)
                                                for old, fresh in zip(cached, (keys, values))))
                for each in (torch.float32, dtype))
            rows.append({
                'heads': f'{heads}/{kv_heads}', 'new': new,
                'cached': sum(end - start for start, end in segments),
                'segments': len(segments), 'splits': splits,
                'ours': float((got - exact).norm() / exact.norm()),
                'stock': float((stock.float() - exact).norm() / exact.norm())})
    return rows


def _all(cached: torch.Tensor, segments: Spans, fresh: torch.Tensor, dtype: torch.dtype,
         ) -> torch.Tensor:
    """Return cached and new keys or values [kv_heads, all, head_dim]."""
    parts = [cached[:, start:end] for start, end in segments]
    return torch.cat([*parts, fresh.transpose(0, 1)], dim=1).to(dtype)


def _attend(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Attend with PyTorch; return [n, heads * head_dim]."""
    new, every = len(query), keys.shape[1]
    mask = torch.ones(new, every, dtype=torch.bool, device=query.device).tril(every - new)
    result = functional.scaled_dot_product_attention(
        query.transpose(0, 1)[None], keys[None], values[None], attn_mask=mask, enable_gqa=True)
    return result[0].transpose(0, 1).flatten(1)


def main(argv: list[str] | None = None) -> None:
    """Check and write ``results/exactness_attention``."""
    arguments = card.parser(__doc__ or '').parse_args(argv)
    rows = check(arguments.device, setup.DTYPES[arguments.dtype])
    setup.write('exactness_attention', {**card.describe(arguments), 'rows': rows}, rows,
                arguments.out)


if __name__ == '__main__':
    main()
