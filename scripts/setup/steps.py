# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The steps of the set-up, in their order."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
import sysconfig

from scripts.setup import checks, mend
from scripts.setup.checks import SetupError
from scripts.setup.command import run
from scripts.setup.paths import environment, ROOT, ros_prefix, VENV
from scripts.setup.state import digest, State

_STATE = VENV / '.setup.json'
_PYTHON = VENV / 'bin' / 'python'
_PIP = (str(_PYTHON), '-m', 'pip', 'install', '--no-input', '--progress-bar', 'off')
_REQUIREMENTS = ROOT / 'requirements'
_PACKAGES = [
    _REQUIREMENTS / f'{name}.txt'
    for name in ('packages', 'constraints', 'engine', 'build', 'test')
]
_INCLUDE_FOLDERS = """
import numpy, sysconfig
print(sysconfig.get_path('include'))
print(numpy.get_include())
"""


def set_up(distribution: str) -> None:
    """Do the steps whose inputs have changed.

    The virtual environment and what it holds of PyPI serve both distributions of ROS; the wheels
    of each lie in a folder of their own, and so does what is built on them.

    Raises:
        SetupError: a step cannot be done; says what to do.

    """
    wheels = _REQUIREMENTS / f'{distribution}.txt'
    installed = ROOT / 'install' / distribution / 'streamvlm_ros'
    build = _build_command(distribution)
    state = State(_STATE)
    python_key = digest(sysconfig.get_python_version(), sys.base_prefix, str(ROOT))
    packages_key = digest(python_key, files=_PACKAGES)
    # What is built needs NumPy's headers and the generators' packages, but no tool of the tests.
    needed = [_REQUIREMENTS / name for name in ('engine.txt', 'build.txt')]
    mending = ROOT / 'scripts' / 'setup' / 'mend.py'
    ros_key = digest(python_key, files=[*needed, wheels, mending])
    build_key = digest(ros_key, *build, *_linked_names(), files=_build_inputs())

    # If an installation broke off, pip takes its halves for whole packages: begin anew.
    if state.key('python') != python_key or state.key('packages') == '':
        _make_venv(state, python_key)
    if state.key('packages') != packages_key:
        _install_packages(state, packages_key)
    if state.key(f'ros {distribution}') != ros_key:
        _install_ros(state, ros_key, distribution, wheels)
    if state.key(f'build {distribution}') != build_key or not installed.is_dir():
        _build(state, build_key, distribution, build)


def _make_venv(state: State, key: str) -> None:
    checks.check_machine()
    checks.check_venv()
    checks.check_compiler()
    if VENV.exists() and not _STATE.exists():
        raise SetupError(f'{VENV} was not made by make setup: move it away or remove it')
    VENV.mkdir(exist_ok=True)
    state.clear()
    state.note('python')
    # Remove what an earlier one has left, but not the note that the folder is ours.
    for entry in VENV.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry != _STATE:
            entry.unlink()
    checks.check_disk()
    version = sysconfig.get_python_version()
    # With the Python itself, not the one of a virtual environment that is active.
    python = f'{sys.base_prefix}/bin/python{version}'
    title = f'[1/4] virtual environment, Python {version}'
    run(title, [python, '-m', 'venv', str(VENV)], 'venv')
    state.note('python', key)


def _install_packages(state: State, key: str) -> None:
    checks.check_disk()
    state.note('packages')
    run('[2/4] packages', [*_PIP, '-r', 'requirements/packages.txt'], 'packages')
    state.note('packages', key)


def _install_ros(state: State, key: str, distribution: str, wheels: pathlib.Path) -> None:
    checks.check_machine()
    prefix = ros_prefix(distribution)
    state.note(f'ros {distribution}')
    shutil.rmtree(prefix, ignore_errors=True)
    # The list is whole; without dependencies pip leaves the virtual environment as it is.
    command = [*_PIP, '--no-deps', '--prefix', str(prefix), '-r', str(wheels)]
    run(f'[3/4] ROS 2 {distribution.title()}', command, f'ros-{distribution}')
    command = [str(_PYTHON), '-c', _INCLUDE_FOLDERS]
    answer = subprocess.check_output(command, env=environment(), text=True)
    python, numpy = answer.splitlines()
    mend.mend_include_folders(prefix, python, numpy)
    mend.mend_generator(prefix)
    mend.write_prefix_scripts(prefix)
    state.note(f'ros {distribution}', key)


def _build_command(distribution: str) -> list[str]:
    return [
        str(_PYTHON), str(VENV / 'bin' / 'colcon'), 'build', '--base-paths', '.',
        '--build-base', f'build/{distribution}', '--install-base', f'install/{distribution}',
        '--symlink-install', '--event-handlers', 'console_direct+',
        '--cmake-args', '-DBUILD_TESTING=OFF', '-DPython3_FIND_VIRTUALENV=ONLY',
    ]  # fmt: skip


def _build(state: State, key: str, distribution: str, command: list[str]) -> None:
    checks.check_compiler()
    state.note(f'build {distribution}')
    # From nothing: that takes a minute, and no file of an earlier interface or Python is left.
    for folder in ('build', 'install'):
        shutil.rmtree(ROOT / folder / distribution, ignore_errors=True)
    title = f'[4/4] interfaces for ROS 2 {distribution.title()}, colcon build'
    run(title, command, f'build-{distribution}', distribution)
    state.note(f'build {distribution}', key)


def _build_inputs() -> list[pathlib.Path]:
    """Return the files whose content the build depends on."""
    names = ('package.xml', 'CMakeLists.txt', 'scripts/streamvlm', 'scripts/streamvlm_node')
    files = [ROOT / name for name in names]
    for folder in ('msg', 'srv', 'action'):
        files += (ROOT / folder).glob('*.*')
    return files


def _linked_names() -> list[str]:
    """Return the names of files that install/ holds as links, so that content is no input."""
    folders = ('config', 'examples', 'launch')
    return sorted(str(file) for folder in folders for file in (ROOT / folder).glob('*.*'))
