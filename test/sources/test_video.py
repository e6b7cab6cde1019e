# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Video files are read with their own times, upright, and damaged ones as far as possible."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from support.sources.videos import (
    HEIGHT,
    MILLISECOND,
    number_of,
    numbered,
    red_corner,
    turn,
    WIDTH,
    write_video,
)

from streamvlm_ros.errors import SourceError
from streamvlm_ros.sources.video import open_video

# A variable frame rate: gaps, and two pictures a millisecond apart.
TIMES = [0, 40, 80, 500, 501, 540, 900, 2900, 2940, 2980]


@pytest.mark.parametrize('name', ['clip.mp4', 'clip.mkv', 'clip.ts', 'clip: 2.avi'])
def test_pictures_come_with_the_times_of_the_file(tmp_path: pathlib.Path, name: str) -> None:
    # AVI has no times of its own, only a rate.
    codec, times = ('mjpeg', range(0, 400, 40)) if 'avi' in name else ('libx264', TIMES)
    path = write_video(tmp_path / name, list(times), codec=codec, has_sound='avi' not in name)
    with open_video(path) as video:
        frames = list(video.frames())
        assert (video.height, video.width, video.broken) == (HEIGHT, WIDTH, 0)
        assert video.duration is not None
        assert video.duration == pytest.approx((times[-1] + 40) / 1000, abs=0.2)
    for (time_ns, picture), time in zip(frames, times, strict=True):
        # The 90 kHz of a transport stream has no whole milliseconds.
        assert abs(time_ns - time * MILLISECOND) <= 20_000, name
        assert picture.shape == (HEIGHT, WIDTH, 3) and picture.dtype == np.uint8
    assert [number_of(picture) for _, picture in frames] == list(range(len(times)))
    assert np.abs(frames[0][1].astype(int) - numbered(0)).mean() < 4


def test_only_what_is_wanted_is_converted(tmp_path: pathlib.Path) -> None:
    path = write_video(tmp_path / 'clip.mp4', list(range(0, 1000, 40)))
    with open_video(path) as video:
        found = [number_of(p) for _, p in video.frames(lambda time: time % 200_000_000 == 0)]
    assert found == [0, 5, 10, 15, 20]


@pytest.mark.parametrize(
    ('how', 'corner', 'size'),
    [
        ('clockwise', 'upper right', (WIDTH, HEIGHT)),
        ('counterclockwise', 'lower left', (WIDTH, HEIGHT)),
        ('upside down', 'lower right', (HEIGHT, WIDTH)),
        ('mirrored', 'upper right', (HEIGHT, WIDTH)),
    ],
)
def test_rotation_of_a_phone_is_applied(
    tmp_path: pathlib.Path, how: str, corner: str, size: tuple[int, int]
) -> None:
    path = write_video(tmp_path / 'clip.mp4', [0, 40, 80])
    turn(path, how)
    with open_video(path) as video:
        pictures = [picture for _, picture in video.frames()]
    assert [number_of(picture) for picture in pictures] == [0, 1, 2]
    assert {red_corner(picture) for picture in pictures} == {corner}
    assert {picture.shape[:2] for picture in pictures} == {size}
    assert all(picture.flags.c_contiguous for picture in pictures)


def test_damaged_pictures_are_left_out_and_counted(tmp_path: pathlib.Path) -> None:
    """MJPEG in a container that finds its next packet again; each picture stands alone."""
    path = write_video(tmp_path / 'clip.mkv', list(range(0, 400, 40)), codec='mjpeg')
    data = bytearray(path.read_bytes())
    scans = [i for i in range(len(data)) if data[i : i + 4] == b'\xff\xda\x00\x0c']
    assert len(scans) == 10
    for begin in (scans[3] + 20, scans[6] + 20):
        data[begin : begin + 60] = b'\xff\xd9' * 30  # it ends in its midst
    path.write_bytes(bytes(data))
    with open_video(path) as video:
        numbers = [number_of(picture) for _, picture in video.frames()]
        assert numbers == [0, 1, 2, 4, 5, 7, 8, 9]
        assert video.broken == 2
        assert f'A picture of {path} is damaged: ' in video.fault


def test_a_file_that_was_cut_off_is_read_as_far_as_possible(tmp_path: pathlib.Path) -> None:
    path = write_video(tmp_path / 'clip.mkv', list(range(0, 1000, 40)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with open_video(path) as video:
        numbers = [number_of(picture) for _, picture in video.frames()]
    assert 5 < len(numbers) < 25 and numbers == list(range(len(numbers)))


def test_times_go_on_where_two_recordings_were_joined(tmp_path: pathlib.Path) -> None:
    one = write_video(tmp_path / 'one.ts', [0, 40, 80, 120]).read_bytes()
    path = tmp_path / 'both.ts'
    path.write_bytes(one + one)
    with open_video(path) as video:
        times = [time for time, _ in video.frames()]
    assert len(times) == 8 and times == sorted(set(times))


@pytest.mark.parametrize(
    ('name', 'content', 'sentence'),
    [
        ('none.mp4', None, 'There is no file '),
        ('empty.mp4', b'', ' is empty.'),
        ('text.mp4', b'Not a video.\n' * 99, ' is no video that FFmpeg can read'),
        ('.', None, ' cannot be read: Is a directory.'),
    ],
)
def test_what_is_no_video_is_refused(
    tmp_path: pathlib.Path, name: str, content: bytes | None, sentence: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError) as caught, open_video(path):
        pass
    assert sentence in str(caught.value) and str(path) in str(caught.value)


def test_a_song_is_no_video(tmp_path: pathlib.Path) -> None:
    path = write_video(tmp_path / 'song.mp4', [], has_sound=True, has_pictures=False)
    with (
        pytest.raises(SourceError, match=r'no video in .*song.mp4; it has audio only'),
        open_video(path),
    ):
        pass


def test_pictures_that_are_too_large_are_refused_before_they_are_decoded(
    tmp_path: pathlib.Path,
) -> None:
    path = write_video(tmp_path / 'clip.mp4', [0, 40])
    with pytest.raises(SourceError) as caught, open_video(path, max_pixels=1000):
        pass
    assert 'have 64x48 pixels; at most 1000 in all' in str(caught.value)
