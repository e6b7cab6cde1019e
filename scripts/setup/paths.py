# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where things are, and the environment that commands of the set-up run in."""

from __future__ import annotations

import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
VENV = ROOT / '.venv'
LOGS = ROOT / 'log' / 'setup'


def ros_prefix(distribution: str) -> pathlib.Path:
    """Return the folder that holds a distribution's wheels, laid out as /opt/ros/DISTRIBUTION."""
    return VENV / 'ros' / distribution


# Set by a sourced ROS distribution or by another Python; they would leak its modules into ours.
_FOREIGN = (
    'AMENT_PREFIX_PATH',
    'CMAKE_PREFIX_PATH',
    'COLCON_PREFIX_PATH',
    'PYTHONHOME',
    'PYTHONPATH',
)


def environment(distribution: str = '') -> dict[str, str]:
    """Return the process's environment, changed so that only what is set up here counts.

    That is the virtual environment, and of the ROS wheels those of `distribution`, if given.
    """
    env = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    programs = [VENV / 'bin', env.get('PATH', os.defpath)]
    if distribution:
        prefix = ros_prefix(distribution)
        (site,) = prefix.glob('lib/python3.*/site-packages')
        env['AMENT_PREFIX_PATH'] = env['CMAKE_PREFIX_PATH'] = str(prefix)
        env['PYTHONPATH'] = str(site)
        env['ROS_DISTRO'] = distribution
        programs.insert(0, prefix / 'bin')
    env['PATH'] = os.pathsep.join(map(str, programs))
    env['PIP_USER'] = '0'
    env['VIRTUAL_ENV'] = str(VENV)
    return env
