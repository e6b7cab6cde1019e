# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`ros2 launch` of one of this package's launch files as a process."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import time
from types import TracebackType

FOLDER = pathlib.Path(__file__).parents[3] / 'launch'
TIME = 90.0  # seconds: importing torch on a busy machine


class Session:
    """Starts a launch file; use it in a `with` block, at the end of which no process is left."""

    def __init__(self, folder: pathlib.Path, file: str, *arguments: str) -> None:
        """Start; `folder` takes the log."""
        self._log = folder / 'launch.log'
        command = ['ros2', 'launch', str(FOLDER / file), *arguments]
        with open(self._log, 'wb') as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True
            )

    def log(self) -> str:
        """Return what launch and its processes have printed."""
        return self._log.read_text(errors='replace')

    def wait(self) -> int:
        """Wait for the end and return the exit code."""
        return self._process.wait(TIME)

    def terminate(self) -> int:
        """Send SIGTERM to launch alone, and return its exit code."""
        self._process.terminate()
        return self.wait()

    def node(self) -> int:
        """Return the process id of the node; there must be one only."""
        (found,) = [pid for pid in self._others() if 'streamvlm_node' in _command(pid)]
        return found

    def is_alone(self) -> bool:
        """Wait until no process that launch has started is left; return whether that is so."""
        deadline = time.monotonic() + TIME
        while self._others():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def _others(self) -> list[int]:
        from support.nodes.node_process import processes_of_session

        return [pid for pid in processes_of_session(self._process.pid) if pid != self._process.pid]

    def interrupt(self) -> int:
        """Send SIGINT, as Ctrl-C does, to launch alone, and return its exit code."""
        self._process.send_signal(signal.SIGINT)
        return self.wait()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return pathlib.Path(f'/proc/{pid}/cmdline').read_text(errors='replace')
    return ''
