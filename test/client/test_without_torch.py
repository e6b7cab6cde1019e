# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A robot's program that asks the node needs no torch, and none of the engine."""

from __future__ import annotations

import subprocess
import sys

import pytest

BLOCKED = """
import importlib, sys
for name in ('torch', 'transformers', 'streamvlm_ros.engine', 'streamvlm_ros.nodes'):
    sys.modules[name] = None  # importing it raises ImportError
"""


def imported(*modules: str, then: str = '') -> subprocess.CompletedProcess[str]:
    """Import modules in a process where torch, engine and nodes cannot be imported."""
    code = BLOCKED + f'for name in {modules!r}:\n    importlib.import_module(name)\n{then}\n'
    return subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=False, timeout=120
    )


def test_client() -> None:
    """With all that it offers."""
    pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
    modules = ('client', 'client.client', 'client.async_client', 'client.ready')
    done = imported(
        *(f'streamvlm_ros.{module}' for module in modules),
        then='from streamvlm_ros.client import *',
    )
    assert done.returncode == 0, done.stderr


def test_bags_scenes_and_the_verbs_that_ask() -> None:
    """Reading bags needs no client either."""
    done = imported(
        'streamvlm_ros.bags.bags',
        'streamvlm_ros.scenes.questions',
        'streamvlm_ros.cli.ask',
        'streamvlm_ros.cli.save',
        'streamvlm_ros.cli.watch',
    )
    assert done.returncode == 0, done.stderr


def test_the_block_works() -> None:
    assert imported('streamvlm_ros.engine.serving.worker').returncode != 0
