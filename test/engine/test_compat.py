# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A version out of range ends in a sentence; importing the engine sets nothing of others."""

import importlib.metadata
import subprocess
import sys
from typing import Any, NoReturn

import pytest

from streamvlm_ros.versions import check_versions, OPTIONAL, VIDEO


def test_a_version_out_of_range_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names what is there and what to install."""
    monkeypatch.setattr(
        importlib.metadata,
        'version',
        lambda package: '4.57.0' if package == 'transformers' else '2.13.0+cpu',
    )
    with pytest.raises(ImportError, match=r'transformers 4\.57\.0 is installed.*pip install'):
        check_versions()


def test_an_optional_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is missed when it is asked for, in a sentence."""

    def missing(package: Any) -> NoReturn:
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, 'version', missing)
    with pytest.raises(ImportError, match='torchao is not installed: pip install "torchao'):
        check_versions(OPTIONAL)
    with pytest.raises(ImportError, match='av is not installed: pip install "av<'):
        check_versions(VIDEO)


IMPORTS = """
import logging, os, sys
import streamvlm_ros
assert 'torch' not in sys.modules and 'numpy' not in sys.modules
assert [type(each) for each in logging.getLogger('streamvlm_ros').handlers] == [
    logging.NullHandler
]
import torch, transformers.utils.logging
loggers = ['', 'streamvlm_ros', 'torch', 'torchao', 'torch.utils._pytree', 'transformers']

def state():
    levels = [logging.getLogger(name).level for name in loggers]
    names = {name for name in os.environ if not name.startswith('TORCHINDUCTOR')}
    return levels, names, transformers.utils.logging.is_progress_bar_enabled()

before = state()
import streamvlm_ros.engine
assert state() == before
"""


def test_importing_sets_nothing_of_others() -> None:
    """No log level, no variable, no progress bar; without torch until the engine is asked for."""
    done = subprocess.run(
        [sys.executable, '-c', IMPORTS], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''  # torchao's warnings are left out all the same
