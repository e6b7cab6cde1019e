# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A camera of 1920x1080 at 30 Hz, best effort, in one process; the node in another, over real DDS.

    scripts/with_ros python -m benchmark.node.camera_1080p --seconds 120

Counts what is lost on the way and in the node, and how much of one CPU core each part of the node
takes: its model's thread, its ROS thread (executor), its decoding, and DDS.  On a machine that
others keep busy, ``chrt -r 1`` before the command gives camera and node the processor when they
ask for it, as an idle machine would; the result says so.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

from benchmark.common import harness
from streamvlm_ros import environment
from streamvlm_ros.client import Status, StreamClient, StreamError
from streamvlm_ros.engine.stream.stamps import StampSampler
from streamvlm_ros.stamps import NANOSECONDS

START_TIME, END_TIME = 120.0, 20.0  # seconds
MODEL_THREAD = 'streamvlm-worker'


def expected_frames(camera: dict[str, Any], rate: float, sample_rate: float) -> int:
    """Return how many of the published images sampling takes."""
    sampler = StampSampler(sample_rate)
    first = camera['first_stamp_ns']
    return sum(
        sampler.take(first + round(i * NANOSECONDS / rate)) for i in range(camera['published'])
    )


def measure(kind: str, arguments: argparse.Namespace, folder: pathlib.Path) -> dict[str, Any]:
    """Return one row: a camera of one kind."""
    used = folder / f'{kind}.json'
    transport = 'compressed' if kind == 'jpeg' else 'raw'
    parameters = {
        'model': arguments.model,
        'device': arguments.device,
        'sample_rate': arguments.sample_rate,
        'capacity': arguments.capacity,
        'image_transport': transport,
    }
    node = [sys.executable, '-m', 'benchmark.node.observed_node', str(used), '--ros-args']
    for name, value in parameters.items():
        node += ['-p', f'{name}:={value}']
    topic = '/image/compressed' if kind == 'jpeg' else '/image'
    camera = [
        sys.executable,
        '-m',
        'benchmark.node.camera_publisher',
        topic,
        '--kind',
        kind,
        '--width',
        str(arguments.width),
        '--height',
        str(arguments.height),
        '--rate',
        str(arguments.rate),
        '--seconds',
        str(arguments.seconds),
    ]
    with (
        open(folder / 'node.log', 'wb') as log,
        environment.child(node, stdout=log, stderr=log),
        StreamClient() as robot,
    ):
        try:
            robot.wait_until_ready(timeout=START_TIME)
        except StreamError as error:
            raise RuntimeError((folder / 'node.log').read_text()) from error
        with subprocess.Popen(camera, stdout=subprocess.PIPE) as publisher:
            robot.wait_for_status(lambda status: status.frames_received > 0, timeout=START_TIME)
            before = json.loads(used.read_text())
            publisher.wait()
            after = json.loads(used.read_text())
            published = json.loads(publisher.communicate()[0])
        robot.wait_for_status(lambda status: status.frames_waiting == 0, timeout=END_TIME)
        robot.ask('What happened?', max_new_tokens=8)
        status = robot.status()
    return _row(kind, arguments, published, status, _shares(before, after))


def _shares(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Return the share of one core that each thread of the node has taken."""
    seconds = after['at'] - before['at']
    shares = {
        name: (after[name] - before.get(name, 0.0)) / seconds
        for name in after
        if name not in ('at', 'observer')
    }
    observer = (after['observer'] - before['observer']) / seconds
    shares['process'] -= observer
    shares['dds'] = shares['process'] - sum(v for k, v in shares.items() if k != 'process')
    return shares


def _row(
    kind: str,
    arguments: argparse.Namespace,
    camera: dict[str, Any],
    status: Status,
    shares: dict[str, float],
) -> dict[str, Any]:
    expected = expected_frames(camera, arguments.rate, arguments.sample_rate)
    return {
        'camera': kind,
        'MB each': camera['message_bytes'] / 1e6,
        'seconds': camera['seconds'],
        'published': camera['published'],
        'received': status.frames_received,
        'lost on the way': camera['published'] - status.frames_received,
        'to be sampled': expected,
        'ingested': status.frames_ingested,
        'dropped': status.frames_dropped,
        'failed': status.frames_failed,
        'ROS side, of a core': shares['process'] - shares[MODEL_THREAD],
        'executor': shares['ros'],
        'decoding': shares.get('decoding', 0.0),
        'DDS': shares['dds'],
        'model': shares[MODEL_THREAD],
        'camera process': camera['cpu_share'],
        'camera late at worst s': camera['worst_lateness_s'],
    }


def main() -> None:
    """Measure both kinds and write ``results/camera_1080p``."""
    made = harness.parser(__doc__ or '')
    made.set_defaults(width=1920, height=1080, capacity=16384)
    made.add_argument('--seconds', type=float, default=120.0, help='for each kind')
    made.add_argument('--rate', type=float, default=30.0, help='Hz of the camera')
    made.add_argument('--sample-rate', type=float, default=4.0)
    made.add_argument('--kinds', nargs='+', choices=('raw', 'jpeg'), default=['raw', 'jpeg'])
    arguments = made.parse_args()
    os.environ.update(environment.private_graph())
    environment.use_camera_profile(os.environ)
    load = os.getloadavg()[0]
    real_time = os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR)
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(kind, arguments, pathlib.Path(folder)) for kind in arguments.kinds]
    harness.write(
        'camera_1080p',
        {
            **harness.machine(arguments),
            'cores': os.cpu_count(),
            'load_before': load,
            'load_after': os.getloadavg()[0],
            'real_time_priority': real_time,
            'camera_hz': arguments.rate,
            'sample_rate': arguments.sample_rate,
            'rows': rows,
        },
        rows,
    )


if __name__ == '__main__':
    main()
