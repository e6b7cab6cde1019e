# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""RTSP and http sources over real connections: stamps, losses, and servers that behave badly."""

from __future__ import annotations

from collections.abc import Iterator
import itertools
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from support.sources import rtsp_server
from support.sources.mjpeg_server import FIRST_STAMP, MjpegServer
from support.sources.rtsp_server import RtspServer, time_of
from support.sources.videos import MILLISECOND, number_of, write_video

from streamvlm_ros.errors import SourceError
from streamvlm_ros.sources import open_source, Source, source

TIME = 60.0  # seconds for anything that has to come
PASSWORD = 'open%20sesame'


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, 'FIRST_DELAY', 0.05)


@pytest.fixture(scope='module')
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MjpegServer]:
    clip = tmp_path_factory.mktemp('clip') / 'clip.mp4'
    with MjpegServer(write_video(clip, list(range(0, 1000, 40)))) as server:
        yield server


def take(opened: Source, frames: int) -> list[tuple[int, np.ndarray]]:
    """Return the next frames; fail if they do not come."""
    found = []
    deadline = time.monotonic() + TIME
    for _ in range(frames):
        frame = opened.read(timeout=max(0.0, deadline - time.monotonic()))
        assert frame is not None, opened.status()
        found.append(frame)
    return found


def test_stamps_are_those_of_the_cameras_clock() -> None:
    """Pictures arrive unevenly, and the RTP time turns over in their midst."""
    with RtspServer() as server, open_source(server.url, buffer_frames=100) as opened:
        assert opened.is_live
        before = time.time_ns()
        frames = take(opened, 40)
        numbers = [number_of(picture) for _, picture in frames]
        assert opened.status().broken == opened.status().reconnects == 0
    first = numbers[0]
    assert numbers == [(first + i) % 25 for i in range(40)]
    stamps = [stamp for stamp, _ in frames]
    # The time of day once, and then the camera's own clock, to a tick of its 90 kHz. The number
    # of the first picture is known up to whole rounds of 25, which shift the uneven times by 1.
    steps = [(b - a) / MILLISECOND for a, b in itertools.pairwise(stamps)]
    fits = [
        all(
            abs(step - (time_of(n + i + 1) - time_of(n + i))) < 0.02
            for i, step in enumerate(steps)
        )
        for n in range(first, first + 75, 25)
    ]
    assert sum(fits) == 1, steps
    assert before - 10**9 < stamps[0] < time.time_ns()


def test_a_camera_that_is_cut_off_is_found_again() -> None:
    told: list[str] = []

    def tell(sentence: str) -> None:
        told.append(sentence)
        raise RuntimeError('a fault of the program, which does not end the source')

    with (
        RtspServer() as server,
        open_source(server.url, buffer_frames=100, on_event=tell) as opened,
    ):
        frames = take(opened, 5)
        server.cut()
        while opened.status().reconnects == 0:
            frames += take(opened, 1)
        frames += take(opened, 5)
        status = opened.status()
    stamps = [stamp for stamp, _ in frames]
    assert stamps == sorted(set(stamps))
    assert status.state == 'running' and status.gap_seconds > 0.0
    assert 'was lost' in told[0] or 'closed the connection' in told[0] or 'its end' in told[0]
    assert 'It is opened again in 0.05 s.' in told[0]
    assert told[-1].startswith(f'{server.url} is back; its pictures have a gap of ')


def test_a_camera_that_is_killed_and_started_again_is_found_again() -> None:
    command = [sys.executable, rtsp_server.__file__]

    def start(port: str) -> subprocess.Popen[str]:
        process = subprocess.Popen([*command, port], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        ports.append(process.stdout.readline().strip())
        return process

    ports: list[str] = []
    killed = start('0')
    try:
        with open_source(f'rtsp://127.0.0.1:{ports[0]}/camera') as opened:
            frames = take(opened, 3)
            killed.send_signal(signal.SIGKILL)
            killed.wait(TIME)
            deadline = time.monotonic() + TIME
            while opened.status().state != 'lost':
                opened.read(timeout=0.05)
                assert time.monotonic() < deadline
            killed = start(ports[0])
            frames += take(opened, 12)  # eight may have waited
            assert opened.status().reconnects == 1
    finally:
        killed.kill()
        killed.wait(TIME)
    stamps = [stamp for stamp, _ in frames]
    assert stamps == sorted(set(stamps))


def test_a_camera_that_falls_silent_is_opened_again() -> None:
    with (
        RtspServer('stalls') as server,
        open_source(server.url, timeout=0.5, buffer_frames=100) as opened,
    ):
        while opened.status().reconnects < 2:
            take(opened, 1)
        assert 'has sent nothing in time' in opened.status().last_fault


@pytest.mark.parametrize(
    ('way', 'sentence'),
    [
        ('silent', 'rtsp://127.0.0.1:PORT/camera '),
        ('garbage', ' sends no video that FFmpeg can read'),
        ('secret', ' refuses the user name or the password (401); give them in the URL'),
    ],
)
def test_rtsp_that_cannot_be_opened(way: str, sentence: str) -> None:
    with RtspServer(way) as server:
        with pytest.raises(SourceError) as caught:
            open_source(server.url, timeout=0.5)
        assert sentence.replace('PORT', str(server.port)) in str(caught.value)
        if way == 'secret':
            wrong = server.url.replace('//', '//admin:wr0ng@')
            with pytest.raises(SourceError) as caught:
                open_source(wrong, timeout=5.0)
            assert '401' in str(caught.value) and 'wr0ng' not in str(caught.value)
            right = server.url.replace('//', f'//admin:{PASSWORD}@')
            with open_source(right, timeout=5.0) as opened:
                assert 'sesame' not in opened.name
                take(opened, 1)


def test_what_is_not_there_is_said() -> None:
    nothing = pytest.raises(SourceError, match=r'There is nothing at .*/nothing \(404\)')
    with RtspServer() as server, nothing:
        open_source(server.url.replace('camera', 'nothing'))
    with pytest.raises(SourceError, match='refuses the connection'):
        open_source(server.url)
    with pytest.raises(SourceError, match='is not known'):
        open_source('rtsp://nowhere.invalid/camera')


@pytest.mark.parametrize('path', ['plain', 'endless', 'elsewhere'])
def test_mjpeg_without_times_is_stamped_on_arrival(server: MjpegServer, path: str) -> None:
    before = time.time_ns()
    with open_source(server.url(path), buffer_frames=100) as opened:
        frames = take(opened, 30)
    assert [number_of(picture) for _, picture in frames] == [i % 25 for i in range(30)]
    stamps = [stamp for stamp, _ in frames]
    assert before < stamps[0] and stamps == sorted(set(stamps)) and stamps[-1] < time.time_ns()


def test_mjpeg_with_times_has_the_servers_stamps(server: MjpegServer) -> None:
    with open_source(server.url('stamped'), buffer_frames=100) as opened:
        stamps = [stamp for stamp, _ in take(opened, 9)]
    assert [stamp - stamps[0] for stamp in stamps] == [i * 125 * MILLISECOND for i in range(9)]
    assert abs(stamps[0] - time.time_ns()) < 10**11 < abs(FIRST_STAMP - stamps[0])


@pytest.mark.parametrize('path', ['ends', 'stalls'])
def test_mjpeg_that_ends_is_opened_again(server: MjpegServer, path: str) -> None:
    with open_source(server.url(path), timeout=0.5, buffer_frames=100) as opened:
        frames = take(opened, 12)
        status = opened.status()
    assert [number_of(picture) for _, picture in frames][:10] == [0, 1, 2, 3, 4] * 2
    assert status.reconnects >= 2 and status.gap_seconds > 0.0
    stamps = [stamp for stamp, _ in frames]
    assert stamps == sorted(set(stamps))


def test_damaged_jpegs_are_left_out_and_counted(server: MjpegServer) -> None:
    with open_source(server.url('damaged'), buffer_frames=100) as opened:
        numbers = [number_of(picture) for _, picture in take(opened, 8)]
        assert opened.status().broken >= 2 and 'is damaged' in opened.status().last_fault
    assert numbers == [0, 1, 2, 4, 5, 6, 7, 9]


def test_a_video_on_the_web_is_a_recording(server: MjpegServer) -> None:
    with open_source(server.url('clip.mp4')) as opened:
        assert not opened.is_live
        frames = list(opened)
    assert [stamp for stamp, _ in frames] == [i * 40 * MILLISECOND for i in range(25)]
    assert opened.status().state == 'ended'


@pytest.mark.parametrize(
    ('path', 'sentence'),
    [
        ('nothing', r'There is nothing at .* \(404\)'),
        ('page', r'is a page \(text/html\), not a video'),
        ('garbage', 'no boundary between its pictures: it is no MJPEG'),
        ('trickles', r'has sent no picture for 0\.5 s'),
        ('silent', r'has not answered for 0\.5 s'),
        ('secret', r'refuses the user name or the password \(401\)'),
    ],
)
def test_http_that_cannot_be_opened(server: MjpegServer, path: str, sentence: str) -> None:
    with pytest.raises(SourceError, match=sentence) as caught:
        open_source(server.url(path, 'admin:wr0ng@'), timeout=0.5)
    assert 'wr0ng' not in str(caught.value)


def test_http_with_the_right_password(server: MjpegServer) -> None:
    with open_source(server.url('secret', f'admin:{PASSWORD}@')) as opened:
        assert number_of(take(opened, 1)[0][1]) == 0
        assert 'sesame' not in opened.name


def test_a_slow_program_gets_the_newest_frames_and_the_count_of_the_others(
    server: MjpegServer,
) -> None:
    with open_source(server.url('plain'), buffer_frames=2) as opened:
        take(opened, 1)
        deadline = time.monotonic() + TIME
        while opened.status().dropped < 20:
            time.sleep(0.01)
            assert time.monotonic() < deadline
        stamp, _ = take(opened, 1)[0]
        status = opened.status()
    assert status.frames >= status.dropped + 2
    assert time.time_ns() - stamp < TIME * 1e9


def test_closing_in_another_thread_ends_the_wait_for_a_frame() -> None:
    with MjpegServer() as server, open_source(server.url('stalls'), timeout=30.0) as opened:
        take(opened, 5)
        closer = threading.Timer(0.1, opened.close)
        closer.start()
        assert list(opened) == []
        closer.join()
    assert opened.status().state == 'ended'
