# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The tests that docs/reliability.md names are there."""

from __future__ import annotations

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
TEXT = (ROOT / 'docs' / 'reliability.md').read_text()
NAMED = sorted(set(re.findall(r'`(test/[\w/]+\.py)(?:::(\w+))?`', TEXT)))


def test_every_row_names_one() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith('|')]
    rows = [row for row in rows if '---' not in row and '| test |' not in row]
    assert len(rows) > 20
    assert all(len(row.split('|')) == 6 for row in rows)
    assert all('`test/' in row.split('|')[4] for row in rows)


@pytest.mark.parametrize(('file', 'name'), NAMED)
def test_it_is_there(file: str, name: str) -> None:
    text = (ROOT / file).read_text()
    assert not name or f'\ndef {name}(' in text
