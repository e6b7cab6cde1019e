# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the search for a rate writes, and what it writes where nothing is searched."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from benchmark.speed import sustained


class Bench:
    """Keeps up with 60 frames a second, and with 100 without questions."""

    alone = 100.0

    def __init__(self, name: str, arguments: Any) -> None:
        pass

    def offer(self, policy: str, rate: float) -> dict[str, Any]:
        return {'policy': policy, 'offered fps': rate, 'kept up': rate <= 60.0}


def run(out: pathlib.Path, *arguments: str) -> dict[str, Any]:
    sustained.main(['--device', 'cpu', '--dimensions', 'toy', '--out', str(out), *arguments])
    (file,) = out.glob('*.json')
    return json.loads(file.read_text())


@pytest.fixture(autouse=True)
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sustained, 'Bench', Bench)


def test_the_best_rate_is_found_by_bisection(tmp_path: pathlib.Path) -> None:
    result = run(tmp_path, '--steps', '4')
    assert [row['offered fps'] for row in result['tried']] == [50.0, 75.0, 62.5, 56.25]
    assert [row['offered fps'] for row in result['best']] == [56.25]
    assert [path.stem for path in tmp_path.glob('*.json')] == ['sustained']


def test_a_given_share_has_no_best(tmp_path: pathlib.Path) -> None:
    result = run(tmp_path, '--share', '2')
    assert [row['offered fps'] for row in result['tried']] == [200.0]
    assert 'best' not in result
    assert [path.stem for path in tmp_path.glob('*.json')] == ['overload']
