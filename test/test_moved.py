# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Modules and classes are found under the names of version 0.1.0."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys

import pytest

from streamvlm_ros.moved import MODULES, NAMES, PACKAGE, targets

# Gluon's kernels cannot be imported where Triton is an interpreter, as it is in these tests.
COMPILED = ('hopper', 'hopper_tiles')
OLD = sorted(name for name in MODULES if name.rpartition('.')[2] not in COMPILED)


@pytest.mark.parametrize('old', sorted(MODULES))
def test_every_old_module_has_a_new_one(old: str) -> None:
    assert importlib.util.find_spec(f'{PACKAGE}.{old}') is not None
    for new in targets(f'{PACKAGE}.{old}'):
        assert importlib.util.find_spec(new).origin is not None, new


@pytest.mark.parametrize('old', OLD)
def test_an_old_module_is_served_with_a_warning(old: str) -> None:
    if old.split('.')[1] in ('interfaces', 'client') or old.startswith(('cli.', 'nodes.')):
        pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
    sys.modules.pop(f'{PACKAGE}.{old}', None)
    with pytest.warns(DeprecationWarning, match='moved to streamvlm_ros') as caught:
        module = importlib.import_module(f'{PACKAGE}.{old}')
    assert caught[0].filename == importlib.__file__  # what called for it
    for new in targets(module.__name__):
        found = importlib.import_module(new)
        for name in [name for name in vars(found) if not name.startswith('_')][:1]:
            assert getattr(module, name) is getattr(found, name)
    with pytest.raises(AttributeError, match='it moved to'):
        module.not_there  # noqa: B018


def test_a_renamed_class_is_found_in_its_old_module() -> None:
    news = {new for old in OLD for new in targets(f'{PACKAGE}.{old}')}
    known = {name for new in news for name in vars(importlib.import_module(new))}
    assert set(NAMES.values()) <= known
    with pytest.warns(DeprecationWarning):
        sys.modules.pop('streamvlm_ros.engine.frames', None)
        from streamvlm_ros.engine.frames import PixelSettings, upload
    assert PixelSettings.__name__ == 'ImageProcessorConfig' and callable(upload)


@pytest.mark.parametrize(
    'room, name',
    [
        ('engine.questions', 'Questions'),
        ('engine.stream', 'FrameStream'),
        ('nodes.images', 'decode_image'),
        ('nodes.parameters', 'check_values'),
    ],
)
def test_a_room_has_the_names_of_the_module_before_it(room: str, name: str) -> None:
    found = importlib.import_module(f'{PACKAGE}.{room}')
    with pytest.warns(DeprecationWarning, match='moved to streamvlm_ros'):
        assert getattr(found, name).__name__ == name
    with pytest.raises(AttributeError):
        found.not_there  # noqa: B018


def test_old_names_cost_a_client_no_torch() -> None:
    code = (
        "import sys, streamvlm_ros; assert 'torch' not in sys.modules; "
        "assert 'streamvlm_ros.engine' not in sys.modules"
    )
    subprocess.run([sys.executable, '-c', code], check=True, timeout=60)


def test_what_never_was_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module('streamvlm_ros.engine.never')
