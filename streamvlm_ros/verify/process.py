# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Starts the stock process and waits for it; it never outlives this one."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile

from streamvlm_ros import interrupts
from streamvlm_ros.verify.clips import Clip
from streamvlm_ros.verify.exchange import Asked, FAULT, StockSaid

POLL = 0.2  # seconds between two looks at whether Ctrl-C has come


def ask_stock(asked: Asked, clips: list[Clip]) -> StockSaid:
    """Let a process of its own run stock transformers, and return what it says.

    What it tells of its progress goes to this process's stderr.

    Raises:
        RuntimeError: it could not; says why.
        KeyboardInterrupt: a signal has come; the process has ended.

    """
    with interrupts.deferred(), tempfile.TemporaryDirectory(prefix='streamvlm_verify_') as name:
        folder = pathlib.Path(name)
        asked.write(folder, clips)
        code = _run(folder)
        fault = folder / FAULT
        if fault.is_file():
            raise RuntimeError(f'stock transformers cannot run the model: {fault.read_text()}')
        if code:
            raise RuntimeError(f'the stock process ended {_how(code)}.')
        return StockSaid.read(folder)


def _run(folder: pathlib.Path) -> int:
    process = subprocess.Popen(
        [sys.executable, '-m', 'streamvlm_ros.verify.stock', str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={**os.environ, interrupts.PARENT: str(os.getpid())},
    )
    try:
        while True:
            interrupts.check()
            try:
                return process.wait(POLL)
            except subprocess.TimeoutExpired:
                continue
    finally:
        process.kill()
        process.wait()


def _how(code: int) -> str:
    if code == -9:
        return 'by SIGKILL: the machine may have had too little memory for it'
    return f'by signal {-code}' if code < 0 else f'with exit code {code}'
