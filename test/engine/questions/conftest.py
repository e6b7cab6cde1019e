# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What goes through a decoder."""

from __future__ import annotations

import pytest
from support.models.random_models import random_model


@pytest.fixture
def passes(monkeypatch) -> list[int]:
    """Return the tokens of every pass through a decoder."""
    counted: list[int] = []
    model = type(random_model('grouped'))
    prefill = model.prefill

    def spy(self, hidden, *args):
        counted.append(len(hidden))
        return prefill(self, hidden, *args)

    monkeypatch.setattr(model, 'prefill', spy)
    return counted
