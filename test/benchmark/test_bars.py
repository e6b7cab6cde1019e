# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`make bars` runs programs that are there, and says when one does not hold."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import sys
from typing import Any

import pytest

from benchmark import bars
from benchmark.common import harness


@pytest.mark.parametrize('command', bars.PROOFS.values(), ids=bars.PROOFS)
def test_the_program_is_there(command: Any) -> None:
    """A module of this repository, or a file."""
    if command[0] == '-m':
        assert importlib.util.find_spec(command[1]) is not None
    else:
        assert (bars.ROOT / command[0]).is_file()


@pytest.mark.parametrize(('code', 'holds'), [(0, 'yes'), (3, 'no (exit code 3)')])
def test_each_is_run_and_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, code: int, holds: str
) -> None:
    """One that fails does not keep the others from being run."""
    monkeypatch.setattr(
        bars, 'PROOFS', {'first': ('-c', f'raise SystemExit({code})'), 'second': ('-c', '')}
    )
    write = harness.write
    monkeypatch.setattr(harness, 'write', lambda *given: write(*given, out=tmp_path))
    assert bars.main([]) == (1 if code else 0)
    rows = json.loads((tmp_path / 'bars.json').read_text())['rows']
    assert [row['holds'] for row in rows] == [holds, 'yes']
    assert sys.executable not in rows[0]['command']


def test_a_proof_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """It is named, with those that there are."""
    with pytest.raises(SystemExit):
        bars.main(['speed'])
    assert "there is no proof 'speed'; there are soak," in capsys.readouterr().err
