# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Each kernel, interpreted, against the same thing written out in plain PyTorch."""

from __future__ import annotations

import dataclasses
import functools

import pytest
from support.kernels import interpreted  # before anything that imports kernels
from support.kernels.interpreted import dequantize, operations, pointwise, segments
from support.kernels.interpreted import rows as matmul
import torch

from benchmark.exactness.random_trees import random_tree
from streamvlm_ros.engine.kvcache.buffer import KVBuffer
from streamvlm_ros.engine.kvcache.metadata import BatchMetadata, LINE, SequenceMetadata
from streamvlm_ros.engine.models.qwen2_5_vl.vision import attend_windows
from streamvlm_ros.engine.ops.operations import TORCH
from streamvlm_ros.engine.ops.quantization import quantize
from streamvlm_ros.engine.ops.rotary import rotate

KERNELS = operations.KERNELS
WIDTH, LAYERS = 32, 2


@pytest.fixture(autouse=True)
def large_tiles(monkeypatch):
    """Interpreted programs run one after another: few large ones are quicker."""
    torch.manual_seed(0)
    tiles = dict.fromkeys((16, 8, 4), dict.fromkeys((1, 16, 32, 64), (32, 64, 4, 2)))
    monkeypatch.setattr(matmul, 'TILES', tiles)
    monkeypatch.setattr(matmul, 'GATED_TILES', tiles)


def check_products(rows, depth, columns, made):
    """Hold products of ``made`` weights [height, depth] to the reference."""
    x, residual = torch.randn(rows, depth), torch.randn(rows, columns)
    weight, both = (made(torch.randn(height, depth)) for height in (columns, 2 * columns))
    norm, bias = torch.rand(depth), torch.randn(columns)
    for name, arguments in (
        ('norm_linear', (x, norm, 1e-6, weight, bias)),
        ('norm_linear', (x, norm, 1e-6, both)),
        ('norm_gated', (x, norm, 1e-6, both)),
        ('add_linear', (residual, x, weight)),
    ):
        expected = getattr(TORCH, name)(*arguments)
        got = getattr(KERNELS, name)(
            *(each.clone() if torch.is_tensor(each) else each for each in arguments)
        )
        assert torch.allclose(got, expected, rtol=1e-4, atol=1e-3), name


@pytest.mark.parametrize('rows', [1, 2, 20, 64, 70])
@pytest.mark.parametrize('depth, columns', [(96, 48), (256, 40)])
def test_products(rows, depth, columns):
    """With norm, bias, residual and gate; widths that fill no tile; few rows and many."""
    check_products(rows, depth, columns, lambda weight: weight)


@pytest.mark.parametrize('rows', [1, 2, 20, 64, 70])
@pytest.mark.parametrize('bits', [8, 4])
@pytest.mark.parametrize('depth, columns', [(96, 48), (768, 40), (2560, 33)])
def test_products_with_few_bits(rows, bits, depth, columns):
    """The same with weights of which several numbers, or groups of them, fill no tile."""
    check_products(rows, depth, columns, lambda weight: quantize(weight, bits))


def with_zeros(weight):
    """Return rounded weights that have another zero point in every group."""
    made = quantize(weight, 4)
    zero = torch.randint(-8, 8, made.scale.shape, dtype=torch.int8)
    return dataclasses.replace(made, zero=zero)


@pytest.mark.parametrize('rows', [1, 20])
@pytest.mark.parametrize('depth, columns', [(96, 48), (768, 40)])
def test_products_with_zero_points(rows, depth, columns):
    """The same with a number of each group that stands for 0."""
    check_products(rows, depth, columns, with_zeros)


@pytest.mark.parametrize('made', [functools.partial(quantize, bits=8), with_zeros])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_weights_made_wide(made, dtype):
    """To the last bit, for a width that fills no tile. (The interpreter cuts bfloat16 off.)"""
    weight = made(torch.randn(19, 1120))
    weight = dataclasses.replace(weight, scale=weight.scale.half())
    assert torch.equal(dequantize.widen(weight, dtype), weight.dequantized(dtype))


def test_pointwise():
    """The norm of a sum, and the gate."""
    x, delta, norm = torch.randn(5, 48), torch.randn(5, 48), torch.rand(48)
    for got, expected in zip(
        KERNELS.add(x.clone(), delta, norm, 1e-6), TORCH.add(x, delta, norm, 1e-6)
    ):
        assert torch.allclose(got, expected, atol=1e-5)
    pair = torch.randn(5, 60)
    assert torch.allclose(KERNELS.gate(pair), TORCH.gate(pair), atol=1e-5)


def test_norm_of_heads():
    """Queries and keys, head by head; values as they were."""
    qkv = torch.randn(5, (6 + 2 * 2) * WIDTH)
    norms = torch.rand(WIDTH), torch.rand(WIDTH)
    got, expected = (each.norm_heads(qkv, 6, *norms, 1e-6) for each in (KERNELS, TORCH))
    assert torch.allclose(got, expected, atol=1e-5)
    assert torch.equal(got[:, 8 * WIDTH :], qkv[:, 8 * WIDTH :])
    assert not torch.allclose(got[:, : 8 * WIDTH], qkv[:, : 8 * WIDTH], atol=1e-1)


@pytest.mark.parametrize(
    'groups',
    [((3, 64),), ((2, 64), (2, 32), (1, 16)), ((2, 12), (1, 20)), ((1, 100),), ((1, 100), (2, 4))],
)
def test_windows(groups):
    """Windows of several sizes, those that fill no tile, and those that are too large for one."""
    rows = 2 * sum(windows * size for windows, size in groups)
    qkv, angles = torch.randn(rows, 3 * 2 * 20), torch.randn(rows, 10)
    got, expected = (
        attend_windows(qkv, angles.cos(), angles.sin(), 2, 2, groups, each)
        for each in (KERNELS, TORCH)
    )
    assert got.shape == (rows, 2 * 20)
    assert torch.allclose(got, expected, atol=1e-5)


def buffer(kv_heads: int, slots: int) -> KVBuffer:
    """Return a buffer of random keys and values."""
    made = KVBuffer(kv_heads, WIDTH, slots, torch.float32, [torch.device('cpu')] * LAYERS)
    made.whole.normal_()
    return made


def dense(query, keys, values, mask):
    """Return attention [n, heads * WIDTH] of one softmax in float64."""
    heads, kv_heads = query.shape[1], keys.shape[0]
    keys, values = (x.double().repeat_interleave(heads // kv_heads, 0) for x in (keys, values))
    scores = query.double().transpose(0, 1) @ keys.mT * WIDTH**-0.5
    seen = scores.masked_fill(~mask, float('-inf')).softmax(-1) @ values
    return seen.transpose(0, 1).flatten(1)


@pytest.mark.parametrize(
    'heads, kv_heads, n, padded, spans, tail, splits',
    [
        (4, 2, 7, 8, ((3, 40), (50, 170)), 5, 3),
        (7, 1, 20, 32, ((0, 200),), 0, 6),
        (4, 4, 3, 3, (), 0, 1),
        (8, 2, 40, 40, ((1, 90),), 30, 2),
        (2, 2, 1, 16, ((0, 64),), 1, 9),
    ],
)
def test_sequences(heads, kv_heads, n, padded, spans, tail, splits):
    """New tokens see segments, a tail, and each other causally or as a tree; padding nothing."""
    stream, own = buffer(kv_heads, 200), buffer(kv_heads, 64)
    made = SequenceMetadata.of([(stream, spans), (own, ((0, tail),))], own, ((tail, tail + n),))
    query, keys, values = (
        torch.randn(padded, count, WIDTH) for count in (heads, kv_heads, kv_heads)
    )
    tree = random_tree(n)
    rows = torch.cat([tree.rows, torch.zeros(3, padded - n, dtype=torch.long)], dim=1)
    causal = torch.ones(n, n, dtype=torch.bool).tril()
    for layer in range(LAYERS):
        seen = [
            torch.cat(
                [
                    *(side[layer][:, a:b] for a, b in spans),
                    mine[layer][:, :tail],
                    new[:n].transpose(0, 1),
                ],
                dim=1,
            )
            for side, mine, new in (
                (stream.keys, own.keys, keys),
                (stream.values, own.values, values),
            )
        ]
        before = torch.ones(n, seen[0].shape[1] - n, dtype=torch.bool)
        for mask, given in ((causal, None), (tree.mask(0, n, 0, query.device), rows.flatten())):
            got = segments.attend_sequence(
                query, keys, values, torch.tensor(made.line), layer, kv_heads, splits, given
            )[:n]
            expected = dense(query[:n], *seen, torch.cat([before, mask], dim=1))
            assert torch.allclose(got.double(), expected, atol=1e-5)


@pytest.mark.parametrize('splits', [1, 2, 7])
def test_batches(splits):
    """Branches see their prefix, two of them the same one, and their own tails."""
    heads, kv_heads, batch = 6, 2, 4
    one, other = buffer(kv_heads, 300), buffer(kv_heads, 100)
    tails, lengths = [buffer(kv_heads, 70) for _ in range(3)], (2, 69, 9)
    groups = [
        ([(one, ((0, 100), (120, 130)))], [0, 2]),
        ([(other, ((5, 99),)), (one, ((7, 90),))], [1]),  # a stream, and the frames of a view
    ]
    made = BatchMetadata.of(groups, list(zip(tails, lengths)))
    lines, order = made.rows(batch)
    assert {len(line) for line in lines} == {LINE}
    query = torch.randn(batch, heads, WIDTH)
    for layer in range(LAYERS):
        got = segments.attend_batch(
            query, torch.tensor(lines), torch.tensor(order), layer, kv_heads, splits
        )
        for seen, members in groups:
            for branch in members:
                keys, values = (
                    torch.cat(
                        [
                            *(
                                getattr(each, side)[layer][:, a:b]
                                for each, spans in seen
                                for a, b in spans
                            ),
                            getattr(tails[branch], side)[layer][:, : lengths[branch] + 1],
                        ],
                        dim=1,
                    )
                    for side in ('keys', 'values')
                )
                everything = torch.ones(1, keys.shape[1], dtype=torch.bool)
                expected = dense(query[branch : branch + 1], keys, values, everything)
                assert torch.allclose(got[branch : branch + 1].double(), expected, atol=1e-5)


def test_what_is_stored():
    """Rotated keys, and values, go to their slots of their layer; padding goes nowhere."""
    heads, kv_heads, n = 4, 2, 3
    target = buffer(kv_heads, 12)
    expected = target.whole.clone()
    qkv, angles = torch.randn(n, (heads + 2 * kv_heads) * WIDTH), torch.randn(n, WIDTH // 2)
    cos, sin = angles.cos(), angles.sin()
    address, slots = (torch.tensor([number]) for number in target.address)
    query, keys, values = pointwise.rotate_and_store(
        qkv, cos, sin, 1, kv_heads, address, slots, torch.tensor([7, -1, 9])
    )
    cut = qkv.view(n, -1, WIDTH).split([heads, kv_heads, kv_heads], dim=1)
    for got, each in zip((query, keys), cut):
        assert torch.allclose(got, rotate(each, cos[:, None], sin[:, None]), atol=1e-6)
    assert torch.equal(values, cut[2])
    expected[1, 0][:, [7, 9]] = keys[[0, 2]].transpose(0, 1)
    expected[1, 1][:, [7, 9]] = values[[0, 2]].transpose(0, 1)
    assert torch.equal(target.whole, expected)


def test_the_interpreter_is_at_work():
    """The kernels above were not compiled, nor replaced."""
    assert interpreted.triton.knobs.runtime.interpret
