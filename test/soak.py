# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A node under abuse for minutes: a camera and a graph that do whatever a seed decides.

    scripts/with_ros python test/soak.py --minutes 10 --seed 1

It prints a table and one line of JSON; exit code 1 says that something did not hold, and what.
docs/reliability.md says what is to hold.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from support.nodes.node_process import Camera as NodeClient
from support.nodes.node_process import NodeProcess, processes_of_session
from support.nodes.raw_goals import Goals
from support.soak.calm import check_calm
from support.soak.ledger import Resources, slowness, StatusLedger
from support.soak.operations import Operations
from support.soak.values import MAX_REQUEST_TIMEOUT, REQUEST_TIMEOUT

from streamvlm_ros import environment

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
TOPIC = '/image'
RATE = 30.0  # Hz
PAUSES = (0.02, 0.05, 0.1, 0.3)  # seconds between operations
END_TIME = 90.0  # seconds for what is open to be answered
STOP_TIME = 30.0  # seconds for a SIGTERM


class Client(NodeClient):
    """A client whose every status goes into the ledger."""

    def __init__(self, node: NodeProcess, ledger: StatusLedger) -> None:
        """Join the graph; publishes nothing itself."""
        super().__init__(node)
        self.ledger = ledger

    def _take_status(self, message: Any) -> None:
        super()._take_status(message)
        if message.state != message.LOADING:
            self.ledger.take(message)


class CameraProcess:
    """The camera, and what it has told of itself."""

    def __init__(self, seed: int) -> None:
        """Start it."""
        command = [sys.executable, '-m', 'support.soak.camera', TOPIC, str(seed), str(RATE)]
        path = os.pathsep.join([os.environ.get('PYTHONPATH', ''), str(HERE)])
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, 'PYTHONPATH': path},
            start_new_session=True,
        )
        self.told: dict[str, Any] = {'published': 0, 'jumps': 0, 'spells': {}}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.told = json.loads(line)

    def stop(self) -> int:
        """Close its stdin, and return its exit code; a spell is played to its end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait(END_TIME)
        self._reader.join()
        return code


@contextlib.contextmanager
def camera_process(seed: int) -> Iterator[CameraProcess]:
    """Start a camera that does not outlive the block."""
    camera = CameraProcess(seed)
    try:
        yield camera
    finally:
        if camera.process.poll() is None:
            camera.process.kill()
        camera.process.wait()


def soak(minutes: float, seed: int, folder: pathlib.Path) -> dict[str, Any]:
    """Run it; return what was done, seen, and `faults`, a list of sentences."""
    shutil.rmtree(folder, ignore_errors=True)
    saved = folder / 'own' / 'saved'
    saved.mkdir(parents=True)
    rng, ledger, faults = random.Random(seed), StatusLedger(), []
    began = time.monotonic()
    with (
        NodeProcess(
            folder,
            save_folder=saved,
            sample_rate=2.0,
            capacity=1024,
            queue_frames=16,
            stale_after=5.0,
            request_timeout=REQUEST_TIMEOUT,
            max_request_timeout=MAX_REQUEST_TIMEOUT,
        ) as node,
        Client(node, ledger) as client,
        Goals(client) as goals,
    ):
        client.wait_ready()
        resources = Resources(node.process.pid)
        operations = Operations(client, goals, saved, seed, slowness)

        def look() -> bool:
            operations.look()
            ledger.look()
            resources.look()
            return node.process.poll() is not None or len(operations.faults) > 50

        with camera_process(seed) as camera:
            end = time.monotonic() + 60.0 * minutes
            while time.monotonic() < end and not look():
                operations.step()
                client.wait_until(look, rng.choice(PAUSES))
            code = camera.stop()
            faults += [f'the camera ended with {code}'] if code else []
        client.wait_until(lambda: look() or not operations.open, END_TIME)
        if operations.open:
            faults.append(f'{operations.open} requests are open after {END_TIME:.0f} s')
        if node.process.poll() is not None:
            faults.append(
                f'the node has ended with {node.process.returncode}: {node.log()[-2000:]}'
            )
        else:
            faults += _epochs(ledger, operations, camera)
            faults += resources.faults()
            faults += [f'afterwards: {fault}' for fault in check_calm(client, TOPIC)]
            faults += _end(node)
        faults += [*ledger.faults.values(), *operations.faults]
        if 'Traceback' in node.log():
            faults.append(f'the log has a traceback; see {node.log_file}')
        log = node.log()
        faults += [
            f'a caller writes to the log: {mark!r}'
            for mark in ('\x1b[31mEVIL', '\n[INFO] forged')
            if mark in log
        ]
    strangers = sorted(
        str(path.relative_to(folder))
        for path in folder.rglob('*')
        if 'outside' in path.name or path.suffix in ('.pth', '.py')
    )
    faults += [f'{name} was written' for name in strangers]
    return _report(minutes, seed, began, ledger, operations, resources, camera, faults)


def _epochs(ledger: StatusLedger, operations: Operations, camera: CameraProcess) -> list[str]:
    """Return which epochs nothing explains that was done."""
    first, last = ledger.first, ledger.newest
    assert first is not None and last is not None
    epochs = last.epoch - first.epoch
    allowed = operations.resets + operations.loads + last.stamp_jumps
    # After a load the camera's stamps may be older than those of the file.
    jumps = camera.told['jumps'] + operations.loads
    faults = []
    if epochs > allowed:
        faults.append(
            f'{epochs} epochs began, and {allowed} are explained: {operations.resets} '
            f'resets, {operations.loads} loads, {last.stamp_jumps} stamp jumps'
        )
    if last.stamp_jumps > jumps:
        faults.append(
            f'{last.stamp_jumps} stamps are said to have jumped back; the camera did '
            f'so {camera.told["jumps"]} times, and {operations.loads} loads'
        )
    return faults


def _end(node: NodeProcess) -> list[str]:
    node.process.send_signal(signal.SIGTERM)
    try:
        code = node.process.wait(STOP_TIME * slowness())
    except subprocess.TimeoutExpired:
        return [f'it does not end within {STOP_TIME:.0f} s of a SIGTERM']
    faults = [] if code == 0 else [f'it ended with {code} after a SIGTERM']
    orphans = processes_of_session(node.process.pid)
    return [*faults, *([f'{len(orphans)} of its processes are left'] if orphans else [])]


def _report(
    minutes: float,
    seed: int,
    began: float,
    ledger: StatusLedger,
    operations: Operations,
    resources: Resources,
    camera: CameraProcess,
    faults: list[str],
) -> dict[str, Any]:
    status = ledger.newest
    frames = {
        name: getattr(status, f'frames_{name}') if status else 0
        for name in ('received', 'sampled_out', 'ingested', 'dropped', 'failed', 'late')
    }
    return {
        'minutes': minutes,
        'seed': seed,
        'seconds': round(time.monotonic() - began, 1),
        'load': round(os.getloadavg()[0], 2),
        'camera': camera.told,
        'frames': frames,
        'epochs': status.epoch if status else 0,
        'stamp_jumps': status.stamp_jumps if status else 0,
        'operations': dict(sorted(operations.counts.items())),
        'replies': dict(sorted(operations.codes.items())),
        'sentences': dict(sorted(operations.sentences.items())),
        'statuses': ledger.count,
        'longest_gap_s': round(ledger.longest_gap, 2),
        'settled_and_end': {
            name: [round(x, 1) for x in pair] for name, pair in resources.compared().items()
        },
        'megabytes': [round(each[3]) for each in resources.samples[::30]],
        'faults': faults,
    }


def _print_table(report: dict[str, Any]) -> None:
    rows = [
        ('minutes, seed', f'{report["minutes"]:g}, {report["seed"]}'),
        ('images published', report['camera']['published']),
        *((f'frames {name}', count) for name, count in report['frames'].items()),
        ('operations', sum(report['operations'].values())),
        ('replies', sum(report['replies'].values())),
        ('epochs, stamp jumps', f'{report["epochs"]}, {report["stamp_jumps"]}'),
        ('statuses, longest gap', f'{report["statuses"]}, {report["longest_gap_s"]} s'),
        *(
            (f'{name}, settled and at the end', f'{a:g}, {b:g}')
            for name, (a, b) in report['settled_and_end'].items()
        ),
        ('faults', len(report['faults'])),
    ]
    for name, value in rows:
        print(f'  {name:32} {value}', file=sys.stderr)
    for fault in report['faults']:
        print(f'  FAULT {fault}', file=sys.stderr)


def main() -> int:
    """Run and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--minutes', type=float, default=10.0)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--folder', type=pathlib.Path, default=ROOT / 'build' / 'soak')
    parser.add_argument('--output', type=pathlib.Path, help='a file for the JSON as well')
    given = parser.parse_args()
    # A TERM must end the children as a Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ.update(environment.private_graph())
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    environment.use_camera_profile(os.environ)
    report = soak(given.minutes, given.seed, given.folder.resolve())
    _print_table(report)
    print(json.dumps(report))
    if given.output is not None:
        given.output.write_text(json.dumps(report, indent=1) + '\n', encoding='utf-8')
    return 1 if report['faults'] else 0


if __name__ == '__main__':
    sys.exit(main())
