# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One class of exception for each error code, the same in the engine and in the client."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from streamvlm_ros import errors
from streamvlm_ros.errors import ErrorCode, StreamError

CODES = [code for code in ErrorCode if code is not ErrorCode.NONE]


@pytest.mark.parametrize('code', CODES, ids=lambda code: code.name)
def test_a_code_has_its_class(code: ErrorCode) -> None:
    error = StreamError(code, 'It is so.')
    assert type(error) is not StreamError and isinstance(error, StreamError)
    assert (error.code, str(error)) == (code, 'It is so.')
    name = type(error).__name__.removesuffix('Error')
    assert code.name.replace('_ERROR', '').replace('_', '').lower() in name.lower()


def test_the_classes_differ() -> None:
    assert len({type(StreamError(code, '')) for code in CODES}) == len(CODES)


def test_a_chosen_class_stays() -> None:
    class OwnError(errors.BusyError):
        pass

    assert type(OwnError(ErrorCode.BUSY, 'Later.')) is OwnError
    with pytest.raises(errors.BusyError):
        raise OwnError(ErrorCode.BUSY, 'Later.')


@pytest.mark.parametrize('code', CODES, ids=lambda code: code.name)
def test_an_error_goes_to_another_process(code: ErrorCode) -> None:
    error = pickle.loads(pickle.dumps(StreamError(code, 'It is so.')))
    assert type(error) is type(StreamError(code, ''))
    assert (error.code, str(error)) == (code, 'It is so.')


def test_they_need_no_torch() -> None:
    code = "import sys, streamvlm_ros.errors; assert not {'torch', 'rclpy'} & set(sys.modules)"
    subprocess.run([sys.executable, '-c', code], check=True, timeout=60)
