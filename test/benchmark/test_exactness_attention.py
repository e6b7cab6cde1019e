# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a card's attention is held to: interpreted kernels pass, and wrong ones do not."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from support.kernels import interpreted  # noqa: F401  # before anything that imports kernels
import torch

from benchmark.exactness import attention
from streamvlm_ros.engine.kvcache.metadata import SEGMENTS

FEW = ((16, 9, ((0, 3), (5, 70)), 3), (16, 16, (), 4), (32, 20, ((1, 2), (4, 5), (9, 60)), 1))
TREES = ((16, 13, ((0, 3), (5, 70)), 2), (48, 41, (), 1))
attend = attention.attend_sequence


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, 'HEADS', ((4, 2), (3, 1)))
    monkeypatch.setattr(attention, 'CASES', FEW)
    monkeypatch.setattr(attention, 'TREES', TREES)
    monkeypatch.setattr(attention, 'SLOTS', 128)


def run(out: pathlib.Path) -> None:
    # Triton's interpreter takes the bits of bfloat16 for integers.
    attention.main(['--device', 'cpu', '--dtype', 'float32', '--out', str(out)])


def written(out: pathlib.Path) -> dict[str, Any]:
    return json.loads((out / 'exactness_attention.json').read_text())


def test_interpreted_kernels_are_as_near_as_float32(tmp_path: pathlib.Path) -> None:
    run(tmp_path)
    result = written(tmp_path)
    assert result['gluon'] is False and len(result['rows']) == 2 * (len(FEW) + len(TREES))
    for row in result['rows']:
        # Stock is what it is held to.
        assert row['stock'] == row['stock, worst row'] == 0.0
        assert 0.0 < row['ours'] < row['ours, worst row'] < 1e-5


@pytest.mark.parametrize('wrong', [1.01, float('nan')])
def test_wrong_kernels_make_it_fail_behind_the_results(
    wrong: float, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attending(query: torch.Tensor, *others: Any) -> torch.Tensor:
        result = attend(query, *others)
        if query.shape[:2] == (32, 3):
            result[7, -1] *= wrong  # one number of one row
            result[8] *= wrong
        return result

    monkeypatch.setattr(attention, 'attend_sequence', attending)
    with pytest.raises(SystemExit, match='1 of 10 cases') as error:
        run(tmp_path)
    assert isinstance(error.value.code, str)  # which Python prints, and exits with 1
    rows = written(tmp_path)['rows']
    row = rows[-1 - len(TREES)]
    assert attention.too_far(rows) == [row]
    if wrong == wrong:
        assert row['ours, worst row'] == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(
    ('ours', 'is_too_far'),
    [(0.0020, False), (0.00209, False), (0.00211, True), (float('nan'), True)],
)
def test_a_twentieth_more_than_stock_is_too_far(ours: float, is_too_far: bool) -> None:
    rows = [{'ours': ours, 'stock': 0.002}]
    assert attention.too_far(rows) == (rows if is_too_far else [])


def test_the_cases_of_cards_fit_the_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for rows, new, segments, _ in (*attention.CASES, *attention.TREES):
        edges = [edge for segment in segments for edge in segment]
        assert edges == sorted({*edges}) and len(segments) <= SEGMENTS and new <= rows
        assert max(edges, default=0) <= attention.SLOTS - new
    lengths = [end - start for start, end in attention.SHORT]
    assert (len(lengths), min(lengths), max(lengths)) == (20, 1, 200)
