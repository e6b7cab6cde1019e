# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every target runs, each failure is told at the end, and Ctrl-C ends them all."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
from typing import Any

import pytest

from scripts import run_tests

PROGRAM = 'import pathlib, sys; from scripts import run_tests; '
MAKEFILE = f"""
passes:
\t@echo "tested $$ROS_DISTRO"
\t@echo "======= 5 passed, 1 skipped in 61.20s (0:01:01) ======="
fails:
\t@echo "FAILED test/test_a.py::test_one - assert 0 == 1"
\t@echo "1 failed, 4 passed in 2.05s"
\t@exit 1
breaks:
\t@no_such_program
waits:
\t@{sys.executable} -c 'import time; print("waits", flush=True); time.sleep(300)'
"""


@pytest.fixture
def start(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """Return what starts a run of targets, in a folder with a Makefile of its own."""
    (tmp_path / 'Makefile').write_text(MAKEFILE)
    program = f'{PROGRAM}run_tests.ROOT = pathlib.Path({str(tmp_path)!r}); '
    program += 'sys.exit(run_tests.main(sys.argv[1:]))'
    # As from a shell, not from the Makefile that may run this test.
    environment = {name: os.environ[name] for name in os.environ if not name.startswith('MAKE')}

    def run(*targets: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, '-c', program, *targets],
            cwd=run_tests.ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return run


def test_a_failure_keeps_no_other_from_running(start: Any, tmp_path: pathlib.Path) -> None:
    process = start('jazzy:fails', 'kilted:passes')
    printed = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert printed.endswith(
        '\nTests\n'
        'jazzy: 1 failed, 4 passed in 2.05s; exit code 2, see log/test/jazzy.txt\n'
        '  FAILED test/test_a.py::test_one - assert 0 == 1\n'
        'kilted: 5 passed, 1 skipped in 61.20s (0:01:01)\n'
    )
    assert (tmp_path / 'log/test/kilted.txt').read_text().startswith('tested kilted\n')
    assert '1 failed' in (tmp_path / 'log/test/jazzy.txt').read_text()


def test_what_passes_ends_with_zero(start: Any) -> None:
    process = start('jazzy:passes')
    assert 'jazzy: 5 passed' in process.communicate(timeout=60)[0]
    assert process.returncode == 0


def test_a_target_that_breaks_is_told(start: Any) -> None:
    process = start('jazzy:breaks')
    assert 'jazzy: ended early; exit code 2' in process.communicate(timeout=60)[0]
    assert process.returncode == 1


def test_ctrl_c_ends_all(start: Any, tmp_path: pathlib.Path) -> None:
    process = start('jazzy:waits', 'kilted:passes')
    assert process.stdout.readline() == 'waits\n'
    os.killpg(process.pid, signal.SIGINT)
    try:
        printed = process.communicate(timeout=60)[0]
    finally:
        left = kill_group(process.pid)
    assert (process.returncode, left) == (130, False) and 'kilted' not in printed


def kill_group(group: int) -> bool:
    """Kill what is left of a process group; return whether there was something."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
