# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is put into the store comes out of it, and out of what is left of it."""

from __future__ import annotations

import pathlib
import shutil
import sqlite3

import numpy as np
import pytest
from support.store.scenes import fill, picture, settings, shown, stamp, STEP, wait
from support.whole import sampled

from streamvlm_ros.store import folder as folders
from streamvlm_ros.store import index as indexes
from streamvlm_ros.store.frames import FrameStore
from streamvlm_ros.store.recorder import Recorder


def make_files_small(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(folders, 'LEAST_FILE_BYTES', 60_000)
    patch.setattr(folders, 'SHARE', 1 << 30)


@pytest.fixture(scope='module')
def twenty(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A store of twenty frames in several files."""
    folder = tmp_path_factory.mktemp('store') / 'twenty'
    with pytest.MonkeyPatch.context() as patch:
        make_files_small(patch)
        fill(folder, range(20))
    return folder


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    make_files_small(monkeypatch)


def stamps_of(folder: pathlib.Path) -> list[int]:
    return [moment.stamp_ns for moment in FrameStore(folder).moments()]


def test_frames_come_out_as_they_were(twenty: pathlib.Path):
    store = FrameStore(twenty)
    found = store.frames(0, 0, 100)
    assert [at for at, _ in found] == [stamp(i) for i in range(20)]
    for i, (_, image) in enumerate(found):
        assert image.shape == (96, 96, 3) and image.dtype == np.uint8
        assert np.abs(shown(image) - shown(picture(i))).max() < 1.5
    assert (store.oldest_stamp_ns, store.newest_stamp_ns) == (stamp(0), stamp(19))


def test_a_span_has_pairs_evenly_over_it(twenty: pathlib.Path):
    found = FrameStore(twenty).frames(stamp(4), stamp(13), 4)
    assert [(at - stamp(0)) // STEP for at, _ in found] == [4, 5, 12, 13]
    assert FrameStore(twenty).frames(stamp(20), stamp(30), 4) == []
    assert len(FrameStore(twenty).frames(stamp(4), stamp(4), 4)) == 1


def test_moments_say_where_they_are_from(twenty: pathlib.Path):
    moment = FrameStore(twenty).moments()[3]
    assert moment.frame_id == 'camera' and moment.pose is None
    epoch = FrameStore(twenty).epochs()[moment.epoch]
    # The stamps are of 2023, so not of the wall clock.
    assert epoch.clock == 'ros' and epoch.zone
    assert epoch.local_time(moment.wall_ns).utcoffset().total_seconds() == epoch.utc_offset


def test_files_rotate_and_closed_ones_are_listed(twenty: pathlib.Path):
    import yaml

    names = folders.store_files(twenty)
    assert len(names) > 1
    content = yaml.safe_load((twenty / 'metadata.yaml').read_text())['rosbag2_bagfile_information']
    assert content['relative_file_paths'] == names
    assert content['message_count'] == 20


@pytest.mark.parametrize('harm', ['missing', 'torn', 'other version', 'no tables', 'too few rows'])
def test_the_index_is_made_anew(twenty: pathlib.Path, tmp_path: pathlib.Path, harm: str):
    folder = tmp_path / 'store'
    shutil.copytree(twenty, folder)
    index = folder / indexes.NAME
    if harm == 'missing':
        index.unlink()
    elif harm == 'torn':
        index.write_bytes(index.read_bytes()[:5000])
    elif harm == 'no tables':
        index.write_bytes(b'')
    elif harm == 'other version':
        with sqlite3.connect(index) as sql:
            sql.execute('PRAGMA user_version = 99')
        sql.close()
    else:
        opened = indexes.Index.open(index)
        opened.remove_file(folders.store_files(folder)[0])
        opened.close()
    before = FrameStore(twenty).moments()
    if harm != 'too few rows':
        # A tool that only reads makes one for itself.
        assert FrameStore(folder).moments() == before
    recorder = Recorder(settings(folder))
    wait(recorder, lambda status: status.frames == 20 and not status.unread)
    recorder.close()
    assert FrameStore(folder).moments() == before
    assert indexes.Index.open(index).files().keys() == set(folders.store_files(folder))


@pytest.mark.parametrize('part', sampled([0.97, 0.5, 0.003, *np.linspace(0, 1, 40)], 3))
def test_a_file_that_was_cut_off_is_completed(
    twenty: pathlib.Path, tmp_path: pathlib.Path, part: float
):
    folder = tmp_path / 'store'
    shutil.copytree(twenty, folder)
    newest = folders.store_files(folder)[-1]
    moments = [m for m in FrameStore(twenty).moments() if m.file == newest]
    others = 20 - len(moments)
    path = folder / newest
    cut = int(part * path.stat().st_size)
    path.write_bytes(path.read_bytes()[:cut])
    ends = [m.offset for m in moments[1:]]
    whole = sum(end <= cut for end in ends)
    recorder = Recorder(settings(folder))
    recorder.put(picture(30), stamp(30), 'camera')
    wait(recorder, lambda status: status.written == 1 and not status.unread)
    assert recorder.close()
    kept = stamps_of(folder)
    assert len(kept) in (others + whole + 1, others + whole + 2)
    assert kept == [stamp(i) for i in range(len(kept) - 1)] + [stamp(30)]
    assert len(FrameStore(folder).frames(0, 0, 100)) == len(kept)


def test_the_oldest_files_go_when_the_budget_is_full(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / 'store'
    fill(folder, range(30))
    files = folders.store_files(folder)
    monkeypatch.setattr('streamvlm_ros.store.settings.LEAST_BYTES', 1)
    recorder = Recorder(settings(folder, max_bytes=200_000))
    status = wait(recorder, lambda status: 0 < status.bytes <= 200_000)
    recorder.close()
    left = folders.store_files(folder)
    assert 0 < len(left) < len(files) and left == files[-len(left) :]
    assert status.frames == len(stamps_of(folder))
    assert stamps_of(folder) == [stamp(i) for i in range(30)][-status.frames :]
    assert indexes.Index.open(folder / indexes.NAME).files().keys() == set(left)


def test_old_files_go(tmp_path: pathlib.Path):
    folder = tmp_path / 'store'
    fill(folder, range(10))
    files = folders.store_files(folder)
    old = folder / files[0].replace(files[0][7:15], '20010101')
    (folder / files[0]).rename(old)
    recorder = Recorder(settings(folder, max_age=3600.0))
    wait(recorder, lambda status: not old.exists() and not status.unread)
    recorder.close()
    assert folders.store_files(folder) == files[1:]


def test_a_time_that_came_twice_is_that_of_the_later_epoch(tmp_path: pathlib.Path):
    folder = tmp_path / 'store'
    recorder = Recorder(settings(folder))
    for epoch, numbers in enumerate((range(10), range(4, 7))):
        for number in numbers:
            recorder.put(picture(number + 100 * epoch), stamp(number), 'camera', epoch)
    recorder.close()
    store = FrameStore(folder)
    found = store.frames(0, 0, 100)
    assert [(at - stamp(0)) // STEP for at, _ in found] == [0, 1, 2, 3, 4, 5, 6]
    assert np.abs(shown(found[4][1]) - shown(picture(104))).max() < 1.5
    assert [each.stream_epoch for each in store.epochs().values()] == [0, 1]
    # A restart goes on with a new epoch, which hides nothing before it.
    fill(folder, range(8, 10))
    assert [(m.stamp_ns - stamp(0)) // STEP for m in store.moments()] == [*range(7), 8, 9]
    assert sorted(store.epochs()) == [1, 2, 3]


def test_still_scenes_are_thinned(tmp_path: pathlib.Path):
    recorder = Recorder(settings(tmp_path / 'store', still_seconds=5.0))
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 255, (448, 448, 3), np.uint8)
    for number in range(30):
        noisy = scene.astype(np.int16) + rng.integers(-4, 5, scene.shape)
        frame = np.clip(noisy, 0, 255).astype(np.uint8)
        if number >= 23:
            frame[100:107, 200:207] = 255 - scene[100:107, 200:207] // 2
        recorder.put(frame, stamp(number))
        wait(recorder, lambda status: status.waiting < 32)
    recorder.close()
    assert recorder.status().thinned == 30 - 4
    # Every five seconds, and when the small thing came in.
    numbers = [(at - stamp(0)) // STEP for at in stamps_of(tmp_path / 'store')]
    assert numbers == [0, 10, 20, 23]


def test_larger_frames_are_reduced(tmp_path: pathlib.Path):
    recorder = Recorder(settings(tmp_path / 'store', max_pixels=64 * 64))
    recorder.put(picture(1, 128), stamp(1))
    recorder.put(picture(2, 60), stamp(2))
    recorder.close()
    sizes = [image.shape for _, image in FrameStore(tmp_path / 'store').frames(0, 0, 9)]
    assert sizes == [(64, 64, 3), (60, 60, 3)]
