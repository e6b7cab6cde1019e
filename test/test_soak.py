# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A minute of `make soak`; its checks are seen to fail where they should."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built: run make test')

from support.soak import ledger as soak_ledger
from support.soak.ledger import Resources, StatusLedger

from streamvlm_ros.msg import StreamStatus

HERE = pathlib.Path(__file__).parent
TIME = 1200.0  # seconds: a minute of storm, and what a busy machine makes of the rest
GOOD: dict[str, Any] = {
    'state': StreamStatus.STREAMING,
    'frames_received': 10,
    'frames_sampled_out': 3,
    'frames_ingested': 2,
    'frames_dropped': 1,
    'frames_failed': 1,
    'frames_late': 1,
    'frames_waiting': 2,
}


@pytest.mark.slow
def test_a_minute(tmp_path: pathlib.Path) -> None:
    """Nothing ends the stream, and afterwards it answers rightly."""
    command = [
        sys.executable,
        str(HERE / 'soak.py'),
        '--minutes',
        '1',
        '--seed',
        '7',
        '--folder',
        str(tmp_path / 'soak'),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIME, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    report = json.loads(done.stdout.splitlines()[-1])
    # It has done what it is for.
    assert report['faults'] == []
    assert report['frames']['ingested'] > 20
    assert len(report['operations']) > 15 and sum(report['replies'].values()) > 100
    assert any(code.startswith('load: 0') for code in report['replies'])


@pytest.mark.parametrize(
    ('change', 'fault'),
    [
        ({'frames_dropped': 2}, 'the counters do not add up: 10 received, 11 accounted for'),
        ({'state': StreamStatus.ERROR, 'last_error': 'why'}, 'the state is ERROR: why'),
        ({'internal_faults': 1, 'last_error': 'why'}, 'internal_faults is not 0: 1: why'),
        ({'memory_losses': 1, 'last_error': 'why'}, 'memory_losses is not 0: 1: why'),
        ({'last_error': 'x' * 3000}, 'a text in the status has no bound: 0 and 3000 characters'),
        ({'epoch': 1}, 'epoch went back: from 2 to 1'),
    ],
)
def test_a_status_that_is_wrong(change: dict, fault: str) -> None:
    """Each is told once."""
    ledger = StatusLedger()
    ledger.take(StreamStatus(**{**GOOD, 'epoch': 2}))
    assert ledger.faults == {}
    for _ in range(2):
        ledger.take(StreamStatus(**{**GOOD, 'epoch': 2, **change}))
    assert list(ledger.faults.values()) == [fault]


def test_a_status_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent node is noticed, in a time that goes with the machine's load."""
    monkeypatch.setattr(soak_ledger, 'slowness', lambda: 3.0)
    now = 1024.0  # it and the steps of an eighth are exact, so nothing hangs on rounding
    monkeypatch.setattr(soak_ledger.time, 'monotonic', lambda: now)
    ledger = StatusLedger()
    ledger.take(StreamStatus(**GOOD))
    for _ in range(47):
        now += 0.125
        ledger.look()
    assert not ledger.faults
    # Who does not look for a while cannot tell.
    now += 5.0
    ledger.look()
    assert not ledger.faults
    ledger.take(StreamStatus(**GOOD))
    for _ in range(50):
        now += 0.125
        ledger.look()
    assert ledger.faults['the status does not come'] == 'the status does not come: for 6.2 s'


def test_what_grows() -> None:
    """Descriptors, threads and memory are compared between the settled part and the end."""
    resources = Resources(os.getpid())
    resources.samples = [(float(i), 10, 5, 100.0) for i in range(60)]
    assert resources.faults() == []
    resources.samples = [(float(i), 10 + i, 5, 100.0 + 5 * i) for i in range(60)]
    assert resources.faults() == [
        'descriptors grew from 34 to 64, by more than 8',
        'megabytes grew from 222 to 372, by more than 64',
    ]
