# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The node, with a thread beside it that writes how much CPU time each of its threads has used.

    python -m benchmark.node.observed_node FILE --ros-args ...

``FILE`` holds one JSON object, replaced several times a second: seconds by thread name, and under
``process`` those of the whole process.  What no Python thread has used is DDS's.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import threading
import time

from streamvlm_ros.nodes import streamvlm_node

PERIOD = 0.2
TICKS = os.sysconf('SC_CLK_TCK')


def thread_seconds(task: int) -> float:
    """Return user and system time of one thread of this process."""
    text = pathlib.Path(f'/proc/self/task/{task}/stat').read_text(encoding='ascii')
    fields = text.rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def observe(file: pathlib.Path) -> None:
    """Write for as long as the process lives."""
    while True:
        used = {'at': time.time(), 'process': time.process_time()}
        for thread in threading.enumerate():
            if thread.native_id is not None:
                used[thread.name] = thread_seconds(thread.native_id)
        fresh = file.with_suffix('.new')
        fresh.write_text(json.dumps(used), encoding='ascii')
        fresh.replace(file)
        time.sleep(PERIOD)


if __name__ == '__main__':
    target = pathlib.Path(sys.argv.pop(1))
    threading.Thread(target=observe, args=(target,), name='observer', daemon=True).start()
    sys.exit(streamvlm_node.main())
