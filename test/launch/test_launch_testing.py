# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the launch_testing files, each in a process of its own."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

import pytest

FILES = sorted(pathlib.Path(__file__).parent.glob('launch_testing_*.py'))


@pytest.mark.skipif(
    shutil.which('launch_test') is None,
    reason='launch_testing comes with a ROS distribution, not with PyPI',
)
@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_file(domain: int, file: pathlib.Path) -> None:
    command = ['launch_test', str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180.0)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'OK' in done.stdout + done.stderr
