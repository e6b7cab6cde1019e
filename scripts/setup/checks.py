# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the machine must have; each missing thing is one sentence that says what to install."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import platform
import shlex
import shutil
import sys
import sysconfig

from scripts.setup.paths import ROOT

DISK_FULL = 'the disk is full: the packages need 3 GB, or 10 GB with the CUDA build of PyTorch'

# Measured with the CPU build of PyTorch: 1.7 GB installed, 0.5 GB of downloads beside it.
_NEEDED_GB = 3
_PYTHON = f'python{sys.version_info[0]}.{sys.version_info[1]}'


class SetupError(Exception):
    """The set-up cannot go on; the message is one sentence that says what to do."""


def check_machine() -> None:
    """Raise SetupError if there are no ROS 2 wheels for this machine."""
    system, machine, libc = platform.system(), platform.machine(), platform.libc_ver()[0]
    if (system, machine, libc) != ('Linux', 'x86_64', 'glibc'):
        raise SetupError(
            f'on this machine ({system}, {machine}) there are no ROS 2 wheels: install a ROS 2 '
            'distribution and build with colcon, as the README describes'
        )


def check_venv() -> None:
    """Raise SetupError if Python cannot make virtual environments."""
    missing = [name for name in ('venv', 'ensurepip') if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(
            f'{_PYTHON} has no {missing[0]} module: install it with: '
            f'sudo apt install {_PYTHON}-venv'
        )


def check_disk() -> None:
    """Raise SetupError if not even the smallest set of packages fits."""
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < _NEEDED_GB:
        raise SetupError(
            f'{ROOT} has {free:.1f} GB of disk left and the packages need {_NEEDED_GB} GB, '
            'or 10 GB with the CUDA build of PyTorch: make room or move the repository'
        )


def check_compiler() -> None:
    """Raise SetupError if the interfaces cannot be compiled."""
    for language, variable, names in (
        ('C', 'CC', ('cc', 'gcc', 'clang')),
        ('C++', 'CXX', ('c++', 'g++', 'clang++')),
    ):
        named = os.environ.get(variable)
        if named and not shutil.which(shlex.split(named)[0]):
            raise SetupError(f'the compiler {variable}={named} does not exist: set another one')
        if not named and not any(map(shutil.which, names)):
            raise SetupError(
                f'no {language} compiler found: install one with: sudo apt install build-essential'
            )
    header = pathlib.Path(sysconfig.get_path('include'), 'Python.h')
    if not header.exists():
        raise SetupError(
            f'{_PYTHON} has no headers ({header}): install them with: '
            f'sudo apt install {_PYTHON}-dev'
        )
