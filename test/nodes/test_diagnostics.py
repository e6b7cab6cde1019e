# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The diagnostics say what is wrong with a stream and what to do about it."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from support.nodes.status import worker_status

pytest.importorskip('diagnostic_msgs', reason='ROS is not here')

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus

from streamvlm_ros.engine import WorkerStatus
from streamvlm_ros.nodes import diagnostics

NODE = '/robot/streamvlm'


def entry(before: WorkerStatus | None = None, **values: Any) -> DiagnosticStatus:
    return diagnostics.stream_diagnostic(NODE, 'cpu', worker_status(**values), before)


def test_a_stream_that_runs() -> None:
    status = entry()
    assert status.level == DiagnosticStatus.OK
    assert status.message == 'Streaming.'
    assert status.name == 'robot/streamvlm: stream'
    assert status.hardware_id == 'cpu'
    values: dict[str, Any] = {pair.key: pair.value for pair in status.values}
    assert values['Input rate (Hz)'] == '4.0'
    assert values['Ingest rate (Hz)'] == '2.0'
    assert values['Frame age (s)'] == '0.125'
    assert values['Cache memory (bytes)'] == '4096'
    assert values['Epoch'] == '3'
    assert 'GPU memory (bytes)' not in values


def test_every_number_of_the_status_is_there() -> None:
    """Distinct values, so that none can stand in for another."""
    numbers: dict[str, Any] = {
        field.name: 1000 + i
        for i, field in enumerate(dataclasses.fields(WorkerStatus))
        if str(field.type) == 'int' and field.name not in ('stamp_ns', 'oldest_stamp_ns')
    }
    shown = {pair.value for pair in entry(**numbers).values}
    missing = {name for name, number in numbers.items() if str(number) not in shown}
    assert missing == set()


def test_gpu_memory() -> None:
    status = diagnostics.stream_diagnostic(NODE, 'cuda:0', worker_status(), gpu_bytes=7 << 30)
    assert {pair.key: pair.value for pair in status.values}['GPU memory (bytes)'] == str(7 << 30)


@pytest.mark.parametrize(
    ('values', 'level', 'message'),
    [
        ({'evicted_tokens': 5}, DiagnosticStatus.OK, 'the oldest frames make room'),
        ({'state': 'paused', 'input_rate': 0.0}, DiagnosticStatus.OK, '^Paused: images'),
        (
            {'state': 'waiting_for_images', 'frames_received': 0, 'input_rate': 0.0},
            DiagnosticStatus.WARN,
            'No image has come yet; check the camera',
        ),
        ({'state': 'stale'}, DiagnosticStatus.WARN, 'Images have stopped coming; check'),
        (
            {'frames_dropped': 7},
            DiagnosticStatus.WARN,
            '7 frames were dropped since the last report.*lower sample_rate or max_pixels',
        ),
        (
            {'frames_failed': 2, 'last_error': "The encoding 'x' is unknown."},
            DiagnosticStatus.WARN,
            "2 frames failed since the last report: The encoding 'x' is unknown.",
        ),
        (
            {'state': 'error', 'frames_failed': 1, 'frames_dropped': 1, 'last_error': 'Why.'},
            DiagnosticStatus.ERROR,
            '^The stream has failed: Why. 1 frames were dropped',
        ),
        (
            {'internal_faults': 1, 'memory_losses': 1, 'last_error': 'Why.'},
            DiagnosticStatus.ERROR,
            'memory of the stream was lost because of a fault of the program.*has begun: Why.',
        ),
        (
            {'internal_faults': 1, 'last_error': 'Why.'},
            DiagnosticStatus.WARN,
            'A fault of the program was caught: Why.',
        ),
        (
            {'stamp_jumps': 1, 'last_error': 'Stamps went back 12.3 s.'},
            DiagnosticStatus.WARN,
            'A new stream has begun: Stamps went back 12.3 s.',
        ),
        ({'frames_late': 1, 'frames_received': 100}, DiagnosticStatus.OK, 'Streaming'),
        (
            {'frames_late': 2, 'frames_received': 100},
            DiagnosticStatus.WARN,
            r'2 frames since the last report were older.*\(2 of 100 in all\)',
        ),
        (
            {'frames_failed': 1, 'last_error': '\x1b[31m' + 'x' * 10_000},
            DiagnosticStatus.WARN,
            '^1 frames failed since the last report: .31mx{490}',
        ),
    ],
)
def test_levels(values: dict[str, Any], level: bytes, message: str) -> None:
    status = entry(**values)
    assert status.level == level
    assert re.search(message, status.message)


def test_watchdog() -> None:
    busy = worker_status(activity='a chunk of frames', activity_seconds=31.0)
    status = diagnostics.stream_diagnostic(NODE, 'cpu', busy, watchdog=30.0)
    assert status.level == DiagnosticStatus.ERROR
    assert 'not finished a turn for 31 s (watchdog: 30 s)' in status.message
    assert 'busy with: a chunk of frames.' in status.message
    calm = diagnostics.stream_diagnostic(NODE, 'cpu', busy, watchdog=31.0)
    assert calm.level == DiagnosticStatus.OK


def test_publishers() -> None:
    def said(*names: str) -> DiagnosticStatus:
        return diagnostics.stream_diagnostic(
            NODE, 'cpu', worker_status(), topic='/image', publishers=names
        )

    assert said('/camera').level == said().level == DiagnosticStatus.OK
    two = said('/camera', '/bag_player')
    assert two.level == DiagnosticStatus.WARN
    assert two.message.startswith('Two publishers on /image: /camera, /bag_player; ')
    many = said(*(f'/camera_{i}' for i in range(1000)))
    assert many.message.startswith('1000 publishers on /image') and 'and 996 more' in many.message
    assert len(many.message) < 500


def test_what_was_lost_before_the_last_report_is_forgotten() -> None:
    lost: dict[str, Any] = {'frames_dropped': 7, 'frames_failed': 2, 'last_error': 'Why.'}
    before = worker_status(**lost)
    assert entry(before, **lost).level == DiagnosticStatus.OK
    assert '1 frames were dropped' in entry(before, **{**lost, 'frames_dropped': 8}).message
    # A worker that was started anew counts from zero.
    assert entry(before).level == DiagnosticStatus.OK


def test_hardware_tells_nodes_apart() -> None:
    """Two nodes on one device, and two machines with the same names."""
    ids = {
        diagnostics.hardware_id(host, 'cuda:0', f'/{camera}/streamvlm')
        for host in ('arm', 'base')
        for camera in ('front', 'rear')
    }
    assert len(ids) == 4
    assert 'arm:cuda:0:/front/streamvlm' in ids


def test_message() -> None:
    idle = diagnostics.idle_diagnostic(NODE, 'cuda:0', 'The model is being loaded.')
    message = diagnostics.diagnostic_array([idle, entry()], Time(sec=5))
    assert message.header.stamp.sec == 5
    assert [status.message for status in message.status] == [
        'The model is being loaded.', 'Streaming.',
    ]  # fmt: skip
