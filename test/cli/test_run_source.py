# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`streamvlm run --source`: the node and its camera in one process, over real DDS."""

from __future__ import annotations

import pathlib
import signal
import subprocess
import sys

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built: run make test')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from support.nodes.node_process import START_TIME, TIME
from support.nodes.raw_client import Client
from support.sources.rtsp_server import RtspServer
from support.sources.videos import write_video

from streamvlm_ros.cli import main
from streamvlm_ros.driver.source_node import source_diagnostic
from streamvlm_ros.sources import SourceStatus

MAIN = (sys.executable, '-m', 'streamvlm_ros.cli.main')


def start(folder: pathlib.Path, model: pathlib.Path, source: object) -> subprocess.Popen[bytes]:
    command = [
        *MAIN,
        'run',
        '--source',
        str(source),
        '--model',
        str(model),
        '-p',
        'sample_rate:=0.0',
    ]
    with open(folder / 'node.log', 'wb') as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def test_a_camera_that_is_lost_and_found_again(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    entries: list[DiagnosticStatus] = []

    def take(message: DiagnosticArray) -> None:
        entries.extend(e for e in message.status if e.name == 'streamvlm_source: source')

    with RtspServer() as server, Client() as client:
        client.node.create_subscription(DiagnosticArray, '/diagnostics', take, 10)
        process = start(tmp_path, model_folder, server.url.replace('//', '//admin:pass@'))
        try:
            assert client.wait_until(
                lambda: client.status is not None and client.status.frames_ingested > 3, START_TIME
            ), (tmp_path / 'node.log').read_text()
            assert client.status is not None and client.status.epoch == 0
            server.cut()
            assert client.wait_until(
                lambda: any(value(e, 'Reconnects') != '0' for e in entries), TIME
            )
            before = client.status.frames_received
            assert client.wait_until(lambda: client.status.frames_received > before + 5, TIME)
            # The stamps went on: the memory is still that of one stream.
            assert client.status.epoch == 0 and client.status.stamp_jumps == 0
            assert client.ask('What?', max_new_tokens=2, timeout=TIME).success
            process.send_signal(signal.SIGTERM)
            assert process.wait(TIME) == 0
        finally:
            process.kill()
            process.wait()
    log = (tmp_path / 'node.log').read_text()
    assert 'Traceback' not in log and 'pass@' not in log
    assert 'is back; its pictures have a gap of ' in log
    assert any(e.level != DiagnosticStatus.OK and 'was lost' in e.message for e in entries)


def value(entry: DiagnosticStatus, key: str) -> str:
    return next(pair.value for pair in entry.values if pair.key == key)


def test_a_video_is_played_once_and_then_asked_about(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    clip = write_video(tmp_path / 'clip.mp4', list(range(0, 800, 100)))
    process = start(tmp_path, model_folder, clip)
    try:
        with Client() as client:
            assert client.wait_until(
                lambda: client.status is not None and client.status.frames_ingested == 8,
                START_TIME,
            ), (tmp_path / 'node.log').read_text()
            answer = client.ask('What?', max_new_tokens=2, timeout=TIME).answer
            assert answer.frames == 8
        process.send_signal(signal.SIGINT)
        assert process.wait(TIME) == 0
    finally:
        process.kill()
        process.wait()
    log = (tmp_path / 'node.log').read_text()
    assert 'clip.mp4 has ended after 8 frames' in log and 'Traceback' not in log


@pytest.mark.parametrize(
    ('source', 'sentence'),
    [
        ('/no/such/clip.mp4', 'There is no file /no/such/clip.mp4.'),
        ('rtsp://127.0.0.1:9/camera', 'refuses the connection'),
        ('gopher://camera', 'unknown scheme gopher://'),
    ],
)
def test_a_source_that_is_not_there_is_said_before_anything_starts(
    capsys: pytest.CaptureFixture[str], source: str, sentence: str
) -> None:
    assert main.main(['run', '--source', source]) == 1
    assert sentence in capsys.readouterr().err


def test_what_a_source_lost_is_in_the_diagnostics() -> None:
    before = SourceStatus(state='running', frames=10)
    for after, level, said in (
        (SourceStatus(state='running', frames=20), DiagnosticStatus.OK, 'Running.'),
        (SourceStatus(state='lost', last_fault='Gone.'), DiagnosticStatus.ERROR, 'Gone.'),
        (SourceStatus(state='running', reconnects=1), DiagnosticStatus.WARN, 'is back'),
        (SourceStatus(state='running', broken=2), DiagnosticStatus.WARN, '2 frames could not'),
        (SourceStatus(state='running', dropped=3), DiagnosticStatus.WARN, '3 frames were dropped'),
    ):
        entry = source_diagnostic('rtsp://camera', after, before)
        assert entry.level == level and said in entry.message, after
        assert value(entry, 'Dropped') == f'{after.dropped}'
