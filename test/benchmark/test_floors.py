# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The floors that the performance tables divide by."""

import pytest
import torch

from benchmark.common.dimensions import build
from benchmark.common.floors import floors
from benchmark.speed.jetson import in_few_bits, measured, page


@pytest.mark.parametrize(
    ('name', 'kv_bytes'),
    [('3B', 36_864), ('7B', 57_344), ('Qwen3-2B', 114_688), ('Qwen3-8B', 147_456)],
)
def test_keys_and_values_take_what_is_published(name: str, kv_bytes: int) -> None:
    assert 2 * floors(name).kv_values == kv_bytes


@pytest.mark.parametrize('name', ['toy', 'Qwen3-toy'])
def test_weights_are_those_of_the_model(name: str) -> None:
    """But for biases and norms, and the table of positions, which is looked up."""
    model, _ = build(name, 'cpu', torch.float32)
    matrices = {n: p.numel() for n, p in model.named_parameters() if p.ndim > 1}
    matrices.pop('model.visual.pos_embed.weight', None)
    assert floors(name).weights == sum(matrices.values())


def test_a_chunk_behind_more_tokens_takes_more() -> None:
    shape = floors('7B')
    extra = shape.chunk_flops(512, 8192, 256) - shape.chunk_flops(512, 0, 256)
    assert extra == 4 * 28 * 3584 * 512 * 8192


def test_fractions_are_of_the_datasheet() -> None:
    near = {'chunk_ms': 0.5, 'ttft_ms': 0.6, 'token_ms': 0.8}
    speed = {
        'hardware': 'NVIDIA H100 80GB HBM3',
        'card': {'bytes_s': 0.9 * 3.35e12, 'flop_s': 0.8 * 989e12},
        'lengths': [
            {
                'model': model,
                'cached': 8192,
                'summary': {'of_floor': near},
                'ours': {'chunk_ms': [1.0, 2.0, 3.0]},
            }
            for model in ('3B', '7B')
        ],
    }
    found = measured(speed, '7B')
    assert (found.chunk, found.question, found.token) == pytest.approx((0.4, 0.54, 0.72))
    # What a chunk takes in 16 bits is of the same run, whatever it took in another.
    few = [
        {
            'model': model,
            'bits': bits,
            'cached': 8192,
            'chunk ms': chunk,
            'first token ms': 6.0,
            'token ms': 3.0,
            'token, of the floor': 0.5,
        }
        for model in ('3B', '7B')
        for bits, chunk in ((16, 10.0), (8, 20.0), (4, 20.0))
    ]
    slower = in_few_bits(found, speed, few, '7B', 8)
    assert (slower.chunk, slower.question, slower.token) == pytest.approx((0.2, 0.225, 0.45))
    assert 'Not measured yet' not in page(speed, few)
    assert 'Not measured yet' in page(None, [])
