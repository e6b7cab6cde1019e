# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every program in examples/ runs, and so do the blocks of docs/client.md, with right answers."""

from __future__ import annotations

from collections.abc import Iterator
import pathlib
import runpy
import signal
import subprocess
import sys

import cv2
import pytest
from support.pages.blocks import blocks_of, ROOT

from streamvlm_ros.cli import demo_plan

EXAMPLES = ROOT / 'examples'
CAMERAS = ('front', 'rear')
PLAN = demo_plan.make_plan()
SECOND = 1_000_000_000
TIME = 60.0
BEFORE_BLUE = 12.0  # seconds of the scene; the light turns green after 5.2, blue after 14.1
GREEN, BLUE = 8.75, 16.5


def run(name: str, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run an example in this process; return its exit code."""
    monkeypatch.setattr(sys, 'argv', [name, *arguments])
    try:
        runpy.run_path(str(EXAMPLES / name), run_name='__main__')
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


class Shown:
    """A node with two cameras, and how much of the scene each has shown."""

    def __init__(self, camera) -> None:
        self.camera, self._next = camera, 0
        self._newest = PLAN.scene.stamps_ns[-1]

    def show(self, until: float) -> None:
        """Show the scene up to so many seconds, every second frame of it."""
        from support.nodes.node_process import image_of

        scene = PLAN.scene
        while self._next < len(scene.frames) and scene.times[self._next] <= until:
            self.camera.publish(image_of(scene.frames[self._next], scene.stamps_ns[self._next]))
            self._next += 2
        self.camera.wait_status(lambda s: s.frames_ingested == self.camera.published)

    def stand_still(self) -> None:
        """Show the scene's last picture once more, a second later."""
        from support.nodes.node_process import image_of

        self._newest += SECOND
        self.camera.publish(image_of(PLAN.scene.frames[-1], self._newest))


@pytest.fixture(scope='module')
def shown(domain: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Shown]]:
    from support.nodes.node_process import Camera, NodeProcess

    folder = tmp_path_factory.mktemp('node')
    with NodeProcess(folder, cameras=CAMERAS, model='tiny', sample_rate=0.0) as node:
        with (
            Camera(node, topic='/front/image', name='/front/streamvlm') as front,
            Camera(node, topic='/rear/image', name='/rear/streamvlm') as rear,
        ):
            for camera in (front, rear):
                camera.wait_ready()
            yield {'front': Shown(front), 'rear': Shown(rear)}
        assert 'Traceback' not in node.log()


def test_watch_and_act(shown: dict[str, Shown], tmp_path: pathlib.Path) -> None:
    """First: the front camera has shown nothing yet."""
    from std_msgs.msg import Bool

    front = shown['front']
    told: list[bool] = []
    front.camera.node.create_subscription(Bool, '/front/drive', lambda m: told.append(m.data), 10)
    command = [sys.executable, str(EXAMPLES / 'watch_and_act.py')]
    log = tmp_path / 'driver.log'
    with (
        open(log, 'wb') as file,
        subprocess.Popen(
            [*command, '--ros-args', '-r', '__ns:=/front'], stdout=file, stderr=file
        ) as program,
    ):
        try:
            # What is published before both sides know each other is lost.
            node = front.camera.node
            assert front.camera.wait_until(lambda: node.count_publishers('/front/drive'), TIME)
            assert front.camera.wait_until(lambda: watches(front.camera), TIME)
            front.show(BEFORE_BLUE)
            assert front.camera.wait_until(lambda: told == [False, True], TIME), (
                told,
                log.read_text(),
            )
            front.show(BLUE)
            for _ in range(8):  # two chunks: the watch's hold
                front.stand_still()
            assert front.camera.wait_until(lambda: told == [False, True, False], TIME), told
            said = 'blue; the last object that left: '
            assert front.camera.wait_until(lambda: said in log.read_text(), TIME), log.read_text()
            program.send_signal(signal.SIGINT)
            assert program.wait(TIME) == 0, log.read_text()
        finally:
            program.kill()
    assert 'Traceback' not in log.read_text() and 'ERROR' not in log.read_text()
    assert not watches(front.camera)


def watches(camera) -> list:
    """Return the standing questions of a camera's stream."""
    from streamvlm_ros.srv import ListWatches

    return camera.call(ListWatches, 'list_watches', ListWatches.Request(), TIME).watches


def test_ask(
    shown: dict[str, Shown], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown['front'].show(BLUE)
    assert run('ask.py', '/front/streamvlm', monkeypatch=monkeypatch) == 0
    first, second, third, fourth = capsys.readouterr().out.splitlines()
    assert first == f'white ring ({shown["front"].camera.published} frames seen)'
    assert second.startswith('blue (')
    assert third.startswith('left (from 4 frames, ')
    assert fourth == 'left'


def test_several_cameras(
    shown: dict[str, Shown], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown['front'].show(BLUE)
    shown['rear'].show(GREEN)
    assert run('several_cameras.py', *CAMERAS, monkeypatch=monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(' (')[0] for line in lines] == ['front: blue', 'rear: green']


def test_the_blocks_of_the_client_page(
    shown: dict[str, Shown], capsys: pytest.CaptureFixture[str]
) -> None:
    """A watch of a block gets its first answer from a chunk of frames, so some have to come."""
    shown['front'].show(BLUE)
    blocks = [b for b in blocks_of(ROOT / 'docs' / 'client.md') if b.language == 'python']
    assert len(blocks) >= 5
    program = '\n'.join(block.text for block in blocks)
    program = program.replace("'/streamvlm'", "'/front/streamvlm'")
    with subprocess.Popen(
        [sys.executable, '-c', program, '--ros-args', '-r', '__ns:=/front'],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not shown['front'].camera.wait_until(lambda: process.poll() is not None, 0.5):
            shown['front'].stand_still()
        said, told = process.communicate(timeout=TIME)
    assert process.returncode == 0, told
    assert said.startswith('white ring\nblue {') and "'blue': " in said
    assert 'guard]: blue' in told


def test_replay_a_bag(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from streamvlm_ros.bags.bags import write_bag

    frames, stamps = PLAN.scene.frames[::2], PLAN.scene.stamps_ns[::2]
    write_bag(tmp_path / 'bag', frames, stamps, '/camera/image_raw')
    assert run('replay_a_bag.py', str(tmp_path / 'bag'), monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == 'white ring\n'


def test_without_ros(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    video = tmp_path / 'kitchen.mp4'
    height, width, _ = PLAN.scene.frames[0].shape
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*'mp4v'), 4.0, (width, height))
    for frame in PLAN.scene.frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    assert run('without_ros.py', str(video), monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == 'white ring\nblue\n'


def test_every_example_is_short_and_in_the_table() -> None:
    table = (EXAMPLES / 'README.md').read_text()
    programs = sorted(EXAMPLES.glob('*.py'))
    assert len(programs) >= 5
    for program in programs:
        assert f'[{program.name}]({program.name})' in table
        assert len(program.read_text().splitlines()) <= 45
        assert f'def test_{program.stem}(' in pathlib.Path(__file__).read_text()
