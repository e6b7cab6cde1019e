# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A version out of range ends in a sentence."""

import importlib.metadata

import pytest

from streamvlm_ros.engine import compat


def test_a_version_out_of_range_is_refused(monkeypatch):
    """The sentence names what is there and what to install."""
    monkeypatch.setattr(
        importlib.metadata,
        'version',
        lambda package: '4.57.0' if package == 'transformers' else '2.13.0+cpu',
    )
    with pytest.raises(ImportError, match=r'transformers 4\.57\.0 is installed.*pip install'):
        compat.check_versions()


def test_an_optional_package_that_is_not_there(monkeypatch):
    """It is missed when it is asked for, in a sentence."""

    def missing(package):
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, 'version', missing)
    with pytest.raises(ImportError, match='torchao is not installed: pip install "torchao'):
        compat.check_versions(compat.OPTIONAL)
