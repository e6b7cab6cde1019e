# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C ends every verb at any moment without a word, and undoes what it began in the node."""

from __future__ import annotations

from collections.abc import Iterator
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built: run make test')

from support.nodes.node_process import Camera, make_image, NodeProcess, SECOND

from streamvlm_ros import interrupts
from streamvlm_ros.srv import ListWatches

SEED = 13
TIME = 60.0
MAIN = ('-m', 'streamvlm_ros.cli.main')
ALONE = [
    (*MAIN, 'ask', 'What?'),
    (*MAIN, 'ask', '--stream', 'What?'),
    (*MAIN, 'choose', 'Which?', 'left', 'right'),
    (*MAIN, 'watch', 'Which?', 'left', 'right'),
    (*MAIN, 'save', 'kitchen'),
    (*MAIN, 'load', 'kitchen'),
    (*MAIN, 'run'),
    (*MAIN, 'replay', '/no/such/bag', '--ask', 'What?'),
    ('-m', 'streamvlm_ros.client.ready', '/streamvlm'),
]


def is_armed(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether the program takes SIGTERM, which Python itself leaves alone."""
    status = pathlib.Path(f'/proc/{process.pid}/status').read_text()
    (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith('SigCgt'))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def interrupt(command: tuple[str, ...], delay: float, number: int = signal.SIGINT) -> int:
    """Start a command, send it a signal, and return its exit code; see that it says nothing."""
    with subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + TIME
        while process.poll() is None and not is_armed(process):
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(delay)
        process.send_signal(number)
        told = process.communicate(timeout=TIME)[1].decode(errors='replace')
    assert 'Traceback' not in told and 'Exception ignored' not in told, (delay, told)
    # An interpreter that ends has given the signals back and dies of one: the same to a shell.
    return 128 + number if process.returncode == -number else process.returncode


@pytest.mark.parametrize('command', ALONE, ids=lambda command: ' '.join(command[1:4]))
def test_without_a_node(domain: int, command: tuple[str, ...]) -> None:
    chance = random.Random(f'{SEED} {command}')
    for delay in (0.0, chance.uniform(0.0, 0.5), chance.uniform(0.0, 3.0)):
        # 0: the node itself; 1: the command had ended by then, with a sentence.
        assert interrupt(command, delay) in (0, 1, 128 + signal.SIGINT)


@pytest.fixture(scope='module')
def camera(
    domain: int, model_folder: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Camera]:
    folder = tmp_path_factory.mktemp('node')
    with NodeProcess(folder, model=model_folder) as node, Camera(node) as camera:
        camera.wait_ready()
        for i in range(4):
            camera.publish(make_image((1000 + i) * SECOND, i))
        camera.wait_status(lambda status: status.frames_ingested == 4)
        yield camera
        assert 'Traceback' not in node.log()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_streamed_answer_is_canceled(camera: Camera, number: int) -> None:
    command = (*MAIN, 'ask', '--stream', 'Tell me everything.', '--max-new-tokens', '8000')
    chance = random.Random(f'{SEED} {number}')
    for _ in range(5):
        assert interrupt(command, chance.uniform(0.0, 3.0), number) in (0, 128 + number)
    camera.wait_status(lambda status: not status.pending_requests)


def test_a_watch_is_taken_out(camera: Camera) -> None:
    command = (*MAIN, 'watch', 'Which?', 'left', 'right')
    chance = random.Random(SEED)
    for _ in range(6):
        assert interrupt(command, chance.uniform(0.0, 3.0)) == 128 + signal.SIGINT
    assert not camera.call(ListWatches, 'list_watches', ListWatches.Request(), TIME).watches


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_deferred_signal_is_the_exit_code(number: int) -> None:
    """What ends a command at a point where it cleans up is told as what ends it at once."""
    program = (
        'import os, sys\n'
        'from streamvlm_ros import interrupts\n'
        'from streamvlm_ros.cli import ask, main\n'
        'def run(arguments):\n'
        '    with interrupts.deferred():\n'
        f'        os.kill(os.getpid(), {int(number)})\n'
        "main.VERBS['ask'] = main.Verb('', ask.add_ask_arguments, run)\n"
        'interrupts.install()\n'
        'sys.exit(main.main(["ask", "What?"]))\n'
    )
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, timeout=TIME)
    assert (done.returncode, done.stderr) == (128 + number, b'')


def test_a_deferred_signal_raises_between_two_steps() -> None:
    """In a process of its own, whose signals are nobody else's."""
    program = (
        'import os, signal\n'
        'from streamvlm_ros import interrupts\n'
        'interrupts.install()\n'
        'said = []\n'
        'try:\n'
        '    with interrupts.deferred():\n'
        '        os.kill(os.getpid(), signal.SIGINT)\n'
        '        said.append("goes on")\n'
        '        try:\n'
        '            interrupts.check()\n'
        '        except KeyboardInterrupt:\n'
        '            said.append("stops")\n'
        '        interrupts.check()\n'
        '        os.kill(os.getpid(), signal.SIGTERM)\n'
        'except KeyboardInterrupt:\n'
        '    said.append("at the end")\n'
        'print(said, flush=True)\n'
        'os.kill(os.getpid(), signal.SIGINT)\n'
        'print("never", flush=True)\n'
    )
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, timeout=TIME)
    assert done.stdout.decode().strip() == str(['goes on', 'stops', 'at the end'])
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, b'')


def test_other_programs_keep_their_signals() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interrupts.deferred():
        interrupts.check()
    assert signal.getsignal(signal.SIGINT) is before
