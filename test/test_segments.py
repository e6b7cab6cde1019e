# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The tests leave no shared memory of processes that they killed."""

import os
import pathlib
import subprocess
import sys
import time

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


def test_what_a_killed_process_had_goes_and_what_is_in_use_stays(tmp_path: pathlib.Path):
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
