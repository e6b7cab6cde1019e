# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where things are, and the environment that commands of the set-up run in."""

from __future__ import annotations

import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
VENV = ROOT / '.venv'
LOGS = ROOT / 'log' / 'setup'

# Set by a sourced ROS distribution or by another Python; they would leak its modules into ours.
_FOREIGN = (
    '_ROS_WHEELS_BOOTSTRAP_COMPLETE',
    'CMAKE_PREFIX_PATH',
    'COLCON_PREFIX_PATH',
    'PYTHONHOME',
    'PYTHONPATH',
)


def environment() -> dict[str, str]:
    """Return the process's environment, changed so that only the virtual environment counts."""
    env = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    env['AMENT_PREFIX_PATH'] = str(VENV)
    env['PATH'] = f'{VENV / "bin"}{os.pathsep}{env.get("PATH", os.defpath)}'
    env['PIP_USER'] = '0'
    env['VIRTUAL_ENV'] = str(VENV)
    return env
