# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A run of tests leaves no process, and no shared memory of processes that it killed."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import time

import pytest
from support.left_processes import end_left_processes, MARK
from support.segments import remove_left_segments

# As Fast DDS does it: a segment that is mapped and closed, and a lock that is only open.
HOLD = """
import mmap, sys
with open(sys.argv[1], 'w+b') as file:
    file.truncate(4096)
    view = mmap.mmap(file.fileno(), 4096)
lock = open(sys.argv[1] + '_el', 'wb')
print('mapped', flush=True)
sys.stdin.read()
"""
CONFTEST = pathlib.Path(__file__).with_name('conftest.py')
TEST = """
import subprocess, sys

def test_one():
    command = [sys.executable, '-c', 'print("up", flush=True); import time; time.sleep(600)']
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b'up\\n'
    if {ends}:
        process.kill()
"""


def test_what_a_killed_process_had_goes_and_what_is_in_use_stays(tmp_path: pathlib.Path) -> None:
    since = time.time() - 1
    paths = {name: tmp_path / f'fastrtps_{name}' for name in ('killed', 'living', 'older')}
    paths['older'].write_bytes(b'')
    os.utime(paths['older'], (since - 60, since - 60))
    (tmp_path / 'of_others').write_bytes(b'')
    holders = {}
    try:
        for name in ('killed', 'living'):
            holders[name] = subprocess.Popen(
                [sys.executable, '-c', HOLD, paths[name]],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert holders[name].stdout.readline() == 'mapped\n'
        holders['killed'].kill()
        holders['killed'].wait(60)
        removed = {path.name for path in remove_left_segments(since, tmp_path)}
        assert removed == {'fastrtps_killed', 'fastrtps_killed_el'}
        left = {path.name for path in tmp_path.iterdir()}
        assert left == {'fastrtps_living', 'fastrtps_living_el', 'fastrtps_older', 'of_others'}
    finally:
        for holder in holders.values():
            holder.kill()
            holder.communicate(timeout=60)


@pytest.mark.parametrize(('ends', 'workers'), [(True, []), (False, ['-n', '1'])])
def test_a_run(ends: bool, workers: list[str], tmp_path: pathlib.Path) -> None:
    (tmp_path / 'conftest.py').write_text(CONFTEST.read_text())
    (tmp_path / 'test_one.py').write_text(TEST.format(ends=ends))
    command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', *workers, '.']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert '1 passed' in done.stdout, done.stdout + done.stderr
    assert ('left behind, and killed' in done.stdout) == (not ends)
    assert done.returncode == (0 if ends else 1)


def test_processes_of_other_runs_stay() -> None:
    process = subprocess.Popen(
        [sys.executable, '-c', 'print("up", flush=True); input()'],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, MARK: 'other'},
    )
    with process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == b'up\n'
        assert end_left_processes('mine', 0.0) == [] and process.poll() is None
        [command] = end_left_processes('other', 0.0)
        assert 'input()' in command
        assert process.wait(60) != 0
