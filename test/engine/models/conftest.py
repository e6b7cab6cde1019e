# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A copy of the tiny model's folder, and the proof that none of its code has run."""

from __future__ import annotations

from collections.abc import Iterator
import pathlib
import shutil
import sys

import pytest
from support.models.hostile_folder import TINY


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a copy of tiny."""
    return shutil.copytree(TINY, tmp_path / 'model')


@pytest.fixture
def proof(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Return a file that is there when code of the folder has run; the test then fails."""
    yield tmp_path / 'PROOF'
    assert not (tmp_path / 'PROOF').exists()
    assert 'evil' not in sys.modules
