# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The node on a GPU: a camera's 1920 x 1080 at 30 Hz over DDS into a model of 7B's size.

    python -m benchmark.node.gpu --dimensions 7B --seconds 30

Three processes: the node (`benchmark.node.process`), the camera
(`benchmark.node.camera_process`) and this one, which follows ~/status and asks.
Every frame is taken. Two phases: without questions, and
with answers of 64 tokens asked for back to back.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmark.common import card, harness
from streamvlm_ros.environment import private_graph, use_camera_profile

START_TIME = 240.0  # seconds for the model to be built and warmed up
SETTLE_TIME = 4.0
TOPIC = '/image'
STREAMING = (3, 4)
WAITING = (2,)


def start_node(arguments: Any, ages: pathlib.Path) -> subprocess.Popen[bytes]:
    """Start the node's process."""
    values = {
        'device': arguments.device,
        'dtype': arguments.dtype,
        'sample_rate': 0.0,
        'max_pixels': arguments.side**2,
        'chunk_frames': arguments.chunk_frames,
        'memory_tokens': arguments.window,
        'slack': 2,
        'policy': arguments.policy,
    }
    given = [word for name, value in values.items() for word in ('-p', f'{name}:={value}')]
    return subprocess.Popen(
        [
            sys.executable,
            '-X',
            'faulthandler',
            '-m',
            'benchmark.node.process',
            arguments.dimensions[0],
            str(ages),
            '--ros-args',
            *given,
        ]
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process as Ctrl-C would."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.send_signal(signal.SIGINT)
        process.wait(30)
        return
    # Shows where it hangs.
    process.send_signal(signal.SIGABRT)
    process.wait()


def measure(arguments: Any, folder: pathlib.Path) -> dict[str, Any]:
    """Run everything; return the figures."""
    from benchmark.node.watcher import Watcher  # rclpy: after the graph's variables are set

    ages = folder / 'ages'
    began = time.perf_counter()
    node = start_node(arguments, ages)
    result: dict[str, Any] = {}
    try:
        watcher = Watcher('/streamvlm')
        watcher.wait_for(WAITING, START_TIME)
        result['ready_after_s'] = round(time.perf_counter() - began, 1)
        print(result, flush=True)
        seconds = SETTLE_TIME + 2 * arguments.seconds + 8
        with (folder / 'camera').open('w') as output:
            camera = subprocess.Popen(
                [
                    sys.executable,
                    '-m',
                    'benchmark.node.camera_process',
                    TOPIC,
                    str(arguments.width),
                    str(arguments.height),
                    str(arguments.hz),
                    str(seconds),
                ],
                stdout=output,
            )
        watcher.wait_for(STREAMING, 30.0)
        watcher.watch(SETTLE_TIME)
        phases = {
            'streaming': watcher.watch(arguments.seconds),
            'answering': watcher.watch(arguments.seconds, 'What is in front of me?'),
        }
        camera.wait(60)
        last = watcher.watch(2.0).statuses[-1]
        watcher.leave()
    finally:
        end(node)
    noted = [tuple(map(float, line.split())) for line in ages.read_text().splitlines()]
    result['camera'] = json.loads((folder / 'camera').read_text())
    result['received'] = int(last.frames_received)
    result['lost_on_the_way'] = result['camera']['sent'] - result['received']
    result['dropped'] = int(last.frames_dropped)
    result['failed'] = int(last.frames_failed)
    result['cache_tokens'] = int(last.cache_tokens)
    result['phases'] = {
        name: phase.summarize([(a, b) for a, b in noted]) for name, phase in phases.items()
    }
    return result


def main(argv: list[str] | None = None) -> None:
    """Measure and write ``results/node_gpu_MODEL``."""
    made = card.parser(__doc__ or '')
    made.add_argument('--seconds', type=float, default=30.0, help='for each phase')
    made.add_argument('--width', type=int, default=1920)
    made.add_argument('--height', type=int, default=1080)
    made.add_argument('--hz', type=float, default=30.0)
    made.add_argument('--side', type=int, default=448, help='max_pixels is its square')
    made.add_argument('--chunk-frames', type=int, default=4)
    made.add_argument('--window', type=int, default=16384, help='tokens')
    made.add_argument('--policy', default='frames_first')
    made.set_defaults(dimensions=['7B'])
    arguments = made.parse_args(argv)
    os.environ.update(private_graph())
    use_camera_profile(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(arguments, pathlib.Path(folder))
    rows = [
        {
            'phase': name,
            'frames': phase['frames'],
            'dropped': phase['dropped'],
            'age p50 s': phase['age_of_every_frame_s']['p50'],
            'age p95 s': phase['age_of_every_frame_s']['p95'],
            'status age p95 s': phase['status_frame_age_s']['p95'],
            'answers': phase['answers'],
            'first token p95 s': phase.get('first_token_s', {}).get('p95', ''),
        }
        for name, phase in result['phases'].items()
    ]
    harness.write(
        f'node_gpu_{arguments.dimensions[0]}',
        {**card.describe(arguments), **result},
        rows,
        arguments.out,
    )
    print(json.dumps(result, indent=1))


if __name__ == '__main__':
    main()
