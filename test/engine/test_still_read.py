# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The engine's own errors are of the classes of their codes."""

from __future__ import annotations

import pickle

import pytest

from streamvlm_ros import engine
from streamvlm_ros.engine.errors import StillReadError
from streamvlm_ros.errors import ErrorCode, StreamError


@pytest.mark.parametrize('code', [ErrorCode.OUT_OF_MEMORY, ErrorCode.BUSY])
def test_what_is_still_read_is_of_its_codes_class_too(code: ErrorCode) -> None:
    error = pickle.loads(pickle.dumps(StillReadError(code, 'Wait.')))
    assert isinstance(error, StillReadError) and error.code is code and str(error) == 'Wait.'
    others = [other for other in ErrorCode if other and isinstance(error, class_of(other))]
    assert others == [code]


def test_the_engine_has_all_of_them() -> None:
    for code in ErrorCode:
        name = class_of(code).__name__
        assert name in engine.__all__ and getattr(engine, name) is class_of(code)


def class_of(code: ErrorCode) -> type[StreamError]:
    return type(StreamError(code, ''))
