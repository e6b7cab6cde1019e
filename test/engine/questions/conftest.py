# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What goes through a decoder."""

from __future__ import annotations

from typing import Any

import pytest
from support.models.random_models import random_model


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the tokens of every pass through a decoder."""
    counted: list[int] = []
    model = type(random_model('grouped'))
    prefill = model.prefill

    def spy(self: Any, hidden: Any, *args: Any) -> Any:
        counted.append(len(hidden))
        return prefill(self, hidden, *args)

    monkeypatch.setattr(model, 'prefill', spy)
    return counted
