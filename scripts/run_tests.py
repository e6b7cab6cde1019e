# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Run the tests of one ROS distribution after the other, and say at the end how each went.

    .venv/bin/python -m scripts.run_tests jazzy:suite kilted:ros

Each argument is a distribution and the target of the Makefile that tests it. What a target prints
is kept in log/test. One that fails keeps no other from running. Ctrl-C, which the terminal sends
to all of them, ends what runs, and nothing more is begun.
"""

from __future__ import annotations

import os
import pathlib
import re
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
LOGS = pathlib.Path('log', 'test')
INTERRUPTED = 130  # exit code, as of a shell
# Pytest's last line, in a frame of = or not: 3 failed, 9 passed in 61.20s (0:01:01)
_COUNTS = re.compile(r'^(?:=+ )?(\d+ \w+.* in [\d.]+s(?: \([\d:]+\))?)(?: =+)?$', re.MULTILINE)
_FAILED = re.compile(r'^(?:FAILED|ERROR) .*$', re.MULTILINE)


def main(arguments: list[str]) -> int:
    """Run the targets; return the exit code."""
    interrupts: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: interrupts.append(number))
    lines, failed = [], False
    for argument in arguments:
        distribution, _, target = argument.partition(':')
        log = ROOT / LOGS / f'{distribution}.txt'
        code = run(distribution, target, log)
        if interrupts:
            return INTERRUPTED
        lines += told(distribution, code, log)
        failed = failed or code != 0
    print('\nTests', *lines, sep='\n')
    return int(failed)


def run(distribution: str, target: str, log: pathlib.Path) -> int:
    """Run a target, print and keep what it says, and return its exit code."""
    command = ['make', '--no-print-directory', target]
    environment = {**os.environ, 'ROS_DISTRO': distribution}
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        open(log, 'wb') as file,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process,
    ):
        assert process.stdout is not None
        while piece := process.stdout.read1():  # type: ignore[attr-defined]
            file.write(piece)
            file.flush()
            sys.stdout.buffer.write(piece)
            sys.stdout.flush()
    return process.returncode


def told(distribution: str, code: int, log: pathlib.Path) -> list[str]:
    """Return what is to be said of a target that has ended: its counts, and what has failed."""
    text = log.read_text(errors='replace')
    counts = _COUNTS.findall(text)
    first = f'{distribution}: {counts[-1] if counts else "ended early"}'
    if code != 0:
        first += f'; exit code {code}, see {log.relative_to(ROOT)}'
    return [first, *(f'  {line}' for line in _FAILED.findall(text))]


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
