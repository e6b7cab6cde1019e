# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Matrices as AWQ publishes them keep their values, to the last bit."""

from __future__ import annotations

import pytest
from support.models.awq import published_values, random_awq
import torch

from streamvlm_ros.engine.ops.awq import from_awq


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32])
@pytest.mark.parametrize(
    'columns, depth, group',
    [(40, 512, 128), (24, 384, 128), (16, 128, 128), (8, 192, 64), (8, 96, 32)],
)
def test_values_are_the_published_formulas(
    columns: int, depth: int, group: int, dtype: torch.dtype
) -> None:
    """Also where a half of a row has no whole groups, and in the number format of the file."""
    tensors = random_awq(columns, depth, group)
    made = from_awq(**tensors)
    assert made.shape == (columns, depth)
    assert torch.equal(made.dequantized(dtype), published_values(tensors, dtype))
    assert made.numbers.nbytes == columns * depth // 2
    assert made.scale.dtype == torch.float16


def test_in_bfloat16_the_exact_product_is_rounded_once() -> None:
    """Scales of 11 bits are not rounded to 8 before."""
    tensors = random_awq(40, 512, 128)
    exact = published_values(tensors, torch.float32)
    assert torch.equal(from_awq(**tensors).dequantized(torch.bfloat16), exact.bfloat16())
    assert not torch.equal(published_values(tensors, torch.bfloat16), exact.bfloat16())
