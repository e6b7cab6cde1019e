# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Files, folders, bags and webcams as sources; stamps, pace, sampling, and readers that hang."""

from __future__ import annotations

from collections.abc import Iterator
import pathlib
import struct
import sys
import threading
import time
from typing import Any

import cv2
import numpy as np
import pytest
from support.sources.videos import MILLISECOND, number_of, numbered, red_corner, write_video

from streamvlm_ros.bags.bags import write_bag
from streamvlm_ros.errors import SourceError
from streamvlm_ros.sources import open_source, Source, source, webcam
from streamvlm_ros.sources.address import Kind, kind_of, shown
from streamvlm_ros.sources.clock import Sampler, StampClock
from streamvlm_ros.sources.reader import Wanted
from streamvlm_ros.sources.source import Options
from streamvlm_ros.stamps import NANOSECONDS

TIMES = [0, 40, 80, 500, 540, 900]
TIME = 60.0


@pytest.fixture
def clip(tmp_path: pathlib.Path) -> pathlib.Path:
    return write_video(tmp_path / 'clip.mp4', TIMES)


def test_a_video_as_fast_as_it_goes_loses_nothing(clip: pathlib.Path) -> None:
    with open_source(clip, buffer_frames=1) as opened:
        assert not opened.is_live and opened.status().state == 'open'
        frames = list(opened)
    assert [number_of(picture) for _, picture in frames] == [0, 1, 2, 3, 4, 5]
    assert [stamp for stamp, _ in frames] == [time * MILLISECOND for time in TIMES]
    assert (opened.status().state, opened.status().frames) == ('ended', 6)


def test_a_video_at_its_own_pace_is_never_early(clip: pathlib.Path) -> None:
    start = 1_700_000_000 * NANOSECONDS
    with open_source(clip, own_pace=True, start_ns=start) as opened:
        began: float | None = None
        for stamp, _ in opened:
            began = time.monotonic() if began is None else began
            # What was read first may have waited here a little.
            assert time.monotonic() - began > (stamp - start) / NANOSECONDS - 0.3
    assert opened.status().frames == 6
    assert stamp == start + 900 * MILLISECOND
    assert time.monotonic() - began > 0.6


def test_sampling_is_by_stamps(clip: pathlib.Path) -> None:
    with open_source(clip, sample_rate=5.0) as opened:
        assert [stamp // MILLISECOND for stamp, _ in opened] == [0, 500, 900]
    assert opened.status().sampled_out == 3


def test_a_sampler_keeps_up_with_a_camera_that_jitters() -> None:
    sampler = Sampler(10.0)
    jitter = np.random.default_rng(1).integers(-9, 9, 200)
    stamps = [(100 * i + int(jitter[i])) * MILLISECOND + NANOSECONDS for i in range(200)]
    assert sum(sampler.takes(stamp) for stamp in stamps) >= 199


def test_a_folder_is_read_by_number_upright_and_without_its_damaged_files(
    tmp_path: pathlib.Path,
) -> None:
    def write(name: str, number: int) -> bytes:
        picture = cv2.cvtColor(numbered(number), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(tmp_path / name), picture)
        return (tmp_path / name).read_bytes()

    write('2.png', 2)
    write('10.PNG', 10)
    data = write('3.jpg', 3)
    (tmp_path / '4.jpg').write_bytes(data[: len(data) // 2])
    (tmp_path / '5.jpg').write_bytes(b'no picture')
    # EXIF, orientation 6: a viewer turns it clockwise by 90 degrees.
    exif = b'Exif\0\0MM\0*\0\0\0\x08\0\x01' + struct.pack('>HHIHHI', 0x112, 3, 1, 6, 0, 0)
    segment = b'\xff\xe1' + struct.pack('>H', len(exif) + 2) + exif
    (tmp_path / '7.jpg').write_bytes(data[:2] + segment + data[2:])
    (tmp_path / 'notes.txt').write_text('no picture, and not looked at')
    told: list[str] = []
    with open_source(tmp_path, folder_rate=4.0, on_event=told.append) as opened:
        frames = list(opened)
    assert [number_of(picture) for _, picture in frames] == [2, 3, 3, 10]
    assert [stamp // MILLISECOND for stamp, _ in frames] == [0, 250, 1000, 1250]
    assert red_corner(frames[2][1]) == 'upper right' and frames[2][1].shape == (64, 48, 3)
    assert opened.status().broken == 2
    # Between two pictures that are whole, the newest fault is told.
    assert len(told) == 1 and '5.jpg cannot be read: it is no picture, or damaged.' in told[0]


def test_a_bag_has_its_own_stamps(tmp_path: pathlib.Path) -> None:
    first = 1_700_000_000 * NANOSECONDS
    stamps = [first + i * 100 * MILLISECOND for i in range(5)]
    write_bag(tmp_path / 'bag', [numbered(i) for i in range(5)], stamps, '/camera')
    with open_source(tmp_path / 'bag') as opened:
        frames = list(opened)
    assert [stamp for stamp, _ in frames] == stamps
    assert [number_of(picture) for _, picture in frames] == [0, 1, 2, 3, 4]
    with pytest.raises(SourceError, match='has no images on /other'):
        open_source(tmp_path / 'bag', topic='/other')


class FakeCapture:
    """Stands for OpenCV's capture of a webcam, whose driver stamps every picture."""

    opened = True

    def __init__(self, number: int, backend: int) -> None:
        self._next = 0

    def isOpened(self) -> bool:  # noqa: N802
        return self.opened

    def grab(self) -> bool:
        self._next += 1
        return self._next <= 6

    def get(self, what: int) -> float:
        return 123_456.0 + 33.25 * self._next

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, cv2.cvtColor(numbered(self._next), cv2.COLOR_RGB2BGR)

    def release(self) -> None:
        pass


def test_a_webcam_has_the_drivers_stamps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, 'VideoCapture', FakeCapture)
    monkeypatch.setattr(webcam, '_check_device', lambda path: None)
    with open_source('/dev/video3') as opened:
        frames = [opened.read(timeout=TIME) for _ in range(5)]
    stamps = [frame[0] for frame in frames]  # the first picture was taken to see that it works
    assert [number_of(frame[1]) for frame in frames] == [2, 3, 4, 5, 6]
    assert np.diff(stamps).tolist() == [33.25 * MILLISECOND] * 4


@pytest.mark.skipif(sys.platform != 'linux', reason='devices have no files there')
def test_webcams_that_cannot_be_opened(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(SourceError, match=r'There is no /dev/video63; '):
        open_source(63)
    with monkeypatch.context() as patch:
        patch.setattr(FakeCapture, 'opened', False)
        patch.setattr(cv2, 'VideoCapture', FakeCapture)
        patch.setattr(webcam, '_check_device', lambda path: None)
        with pytest.raises(SourceError, match='another program uses it, or it is no camera'):
            open_source(0)

    def refuse(path: Any, flags: int) -> int:
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(webcam.os, 'open', refuse)
    with pytest.raises(SourceError, match='usermod -aG video'):
        webcam._check_device(tmp_path)


@pytest.mark.parametrize(
    ('address', 'kind'),
    [
        (0, Kind.WEBCAM),
        ('12', Kind.WEBCAM),
        ('/dev/video2', Kind.WEBCAM),
        ('rtsp://admin:secret@camera.local:8554/h264', Kind.RTSP),
        ('HTTPS://example.org/video.mp4', Kind.HTTP),
        ('{folder}', Kind.FOLDER),
        ('file://{folder}', Kind.FOLDER),
        ('{folder}/a.mcap', Kind.BAG),
        ('{folder}/sub', Kind.BAG),
        ('{folder}/clip.mp4', Kind.VIDEO),
    ],
)
def test_what_an_address_is(tmp_path: pathlib.Path, address: Any, kind: Kind) -> None:
    (tmp_path / 'clip.mp4').touch()
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'sub' / 'metadata.yaml').touch()
    if '.mcap' in str(address):
        (tmp_path / 'a.mcap').touch()
    assert kind_of(address.format(folder=tmp_path) if isinstance(address, str) else 0) is kind


@pytest.mark.parametrize(
    ('address', 'sentence'),
    [
        ('ftp://camera/video', r'the unknown scheme ftp://'),
        ('rtsp:///camera', 'it has no host'),
        ('http://host:99999/', 'no possible port'),
        ('/no/such/video.mp4', r'There is no file /no/such/video\.mp4\.'),
        ('', 'The source is empty'),
    ],
)
def test_addresses_that_are_refused(address: str, sentence: str) -> None:
    with pytest.raises(SourceError, match=sentence):
        open_source(address)


def test_arguments_that_are_refused(clip: pathlib.Path) -> None:
    for wrong in ({'sample_rate': -1.0}, {'buffer_frames': 0}, {'timeout': 0.0}):
        with pytest.raises(SourceError, match=f'{next(iter(wrong))} is .*; give '):
            open_source(clip, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ('url', 'expected'),
    [
        ('rtsp://a:b@c/d', 'rtsp://a:***@c/d'),
        ('rtsp://c/user=a&password=b&channel=1', 'rtsp://c/user=a&password=***&channel=1'),
        ('http://c/v?token=b;x=1', 'http://c/v?token=***;x=1'),
        ('http://c/v?apikey=b#x', 'http://c/v?apikey=***#x'),
        ('rtsp://a:b:b@c', 'rtsp://a:***@c'),
        ('rtsp://joe@example.com:secret@cam/1', 'rtsp://joe@example.com:***@cam/1'),
        ('rtsp://joe:sec/ret@cam/1', 'rtsp://joe:***@cam/1'),
        ('rtsp://cam:554/a@b', 'rtsp://cam:554/a@b'),
        ('http://cam/?user=a&pw=b', 'http://cam/?user=a&pw=***'),
    ],
)
def test_passwords_are_not_shown(url: str, expected: str) -> None:
    assert shown(url) == expected


def test_a_clock_that_is_set_is_put_on_the_calendar_again() -> None:
    clock = StampClock(is_live=True, has_stamps=False, start_ns=0)
    second, now = NANOSECONDS, 1_700_000_000 * NANOSECONDS
    assert clock.stamp(5 * second, now) == now
    # Arrival jitters, the source's clock does not.
    assert clock.stamp(6 * second, now + second + 9 * MILLISECOND) == now + second
    assert clock.stamp(99_999 * second, now + 2 * second) == now + 2 * second and clock.jumps == 1
    assert clock.stamp(100_000 * second, now + 3 * second) == now + 3 * second
    # It ran ahead, was lost, and comes back with a clock of its own: never backward.
    assert clock.stamp(100_008 * second, now + 4 * second) == now + 11 * second
    clock.restart()
    assert clock.stamp(0, now + 5 * second) == now + 11 * second + 1
    assert clock.stamp(None, now + 20 * second) == now + 20 * second


class HangingReader:
    """Yields a few pictures and then hangs, as a decoder or a driver may."""

    has_stamps, broken, fault = False, 0, ''

    def __init__(self, over: threading.Event, *, is_live: bool) -> None:
        self._over, self.is_live = over, is_live

    def frames(self, wanted: Wanted) -> Iterator[np.ndarray]:
        for i in range(3):
            if wanted(i * 40 * MILLISECOND):
                yield numbered(i)
        self._over.wait(TIME)

    def close(self) -> None:
        pass


@pytest.mark.parametrize('is_live', [True, False])
def test_a_reader_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, is_live: bool) -> None:
    monkeypatch.setattr(source, 'HANG_TIME', 0.1)
    monkeypatch.setattr(source, 'LOOK_TIME', 0.05)
    over = threading.Event()
    options = Options(timeout=0.1, buffer_frames=100)
    with Source('camera', lambda: HangingReader(over, is_live=is_live), options) as opened:
        numbers = []
        if is_live:
            numbers = [number_of(opened.read(timeout=TIME)[1]) for _ in range(9)]
            assert opened.status().reconnects >= 2
        else:
            with pytest.raises(SourceError, match='has not come back for'):
                numbers.extend(number_of(picture) for _, picture in opened)
        assert numbers == [0, 1, 2] * (3 if is_live else 1)
        assert 'given up' in opened.status().last_fault
        over.set()
