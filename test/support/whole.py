# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Heavy proofs: a sample of their cases is in the suite, all of them are in `make bars`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

# On a test or a case: it runs with `pytest --whole` only.
whole = pytest.mark.whole


def sampled(cases: Iterable[Any], number: int) -> list[Any]:
    """Return cases for `parametrize`, of which the suite runs the first ``number`` only."""
    return [
        case
        if index < number
        else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=whole)
        for index, case in enumerate(cases)
    ]
