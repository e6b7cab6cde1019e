# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Disks that are full, slow or gone, folders that others have: said, counted, and overcome."""

from __future__ import annotations

import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from support.store.scenes import fill, PATIENCE, picture, settings, stamp, wait
from support.whole import sampled

from streamvlm_ros.store import folder as folders
from streamvlm_ros.store import recorder as recorders
from streamvlm_ros.store.frames import FrameStore
from streamvlm_ros.store.moments import Pose
from streamvlm_ros.store.poses import PoseTrack
from streamvlm_ros.store.recorder import Recorder


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorders, 'RETRY', 0.1)
    monkeypatch.setattr(recorders, 'TIDY', 0.05)


def put_until(recorder: Recorder, first: int, done) -> int:
    """Hand frames in, one at a time, until the status says something; return the next number."""
    deadline = time.monotonic() + PATIENCE
    while not done(recorder.status()):
        assert time.monotonic() < deadline, recorder.status()
        recorder.put(picture(first), stamp(first), 'camera')
        first += 1
        wait(recorder)
    return first


def test_a_full_disk(tmp_path: pathlib.Path):
    """A limit on the length of files fails as a full disk does: in the middle of a write."""
    folder, said = tmp_path / 'store', []
    recorder = Recorder(settings(folder), log=said.append)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        number = put_until(recorder, 0, lambda status: status.error and status.dropped)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert 'cannot be written' in said[0] and 'make room' in said[0]
    written = recorder.status().written
    put_until(recorder, number, lambda status: status.written > written + 3)
    status = recorder.status()
    assert not status.error and 'written again' in said[-1]
    assert recorder.close()
    assert len(FrameStore(folder).frames(0, 0, 1000)) == recorder.status().written
    assert status.written + status.dropped >= number


def test_a_folder_that_goes_is_made_again(tmp_path: pathlib.Path):
    folder = tmp_path / 'store'
    recorder = Recorder(settings(folder))
    number = put_until(recorder, 0, lambda status: status.written >= 3)
    shutil.rmtree(folder)
    number = put_until(recorder, number, lambda status: status.dropped > 0)
    written = recorder.status().written
    put_until(recorder, number, lambda status: status.written >= written + 2)
    assert recorder.close() and not recorder.status().error
    assert len(FrameStore(folder).moments()) >= 2


def test_a_disk_that_goes_is_not_replaced_by_a_folder(tmp_path: pathlib.Path):
    disk = tmp_path / 'disk'
    recorder = Recorder(settings(disk / 'store'))
    number = put_until(recorder, 0, lambda status: status.written >= 2)
    away = disk.rename(tmp_path / 'away')
    number = put_until(
        recorder, number, lambda status: 'No such file' in status.error and status.dropped > 2
    )
    assert not disk.exists()
    away.rename(disk)
    put_until(recorder, number, lambda status: status.written >= 5)
    assert recorder.close() and not recorder.status().error


def test_a_slow_disk_holds_nothing_up(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    go_on = threading.Event()
    write = folders.StoreFolder.write_frame

    def slow(*arguments):
        assert go_on.wait(PATIENCE)
        return write(*arguments)

    monkeypatch.setattr(folders.StoreFolder, 'write_frame', slow)
    recorder = Recorder(settings(tmp_path / 'store'))
    for number in range(200):
        recorder.put(picture(number % 5), stamp(number))
    status = recorder.status()
    assert status.waiting <= recorders.QUEUE_FRAMES + 1 and 'too slow' in status.error
    go_on.set()
    status = wait(recorder)
    assert recorder.close()
    assert status.written + status.dropped == 200 and status.dropped >= 100
    # The newest ones are kept.
    assert FrameStore(tmp_path / 'store').newest_stamp_ns == stamp(199)


def test_a_file_in_the_folder_s_place(tmp_path: pathlib.Path):
    (tmp_path / 'store').write_text('no folder')
    recorder = Recorder(settings(tmp_path / 'store'))
    put_until(recorder, 0, lambda status: status.dropped > 0)
    assert 'cannot be written' in recorder.status().error
    assert recorder.close()
    assert (tmp_path / 'store').read_text() == 'no folder'


def test_a_second_process_is_refused_and_reads_meanwhile(tmp_path: pathlib.Path):
    folder = tmp_path / 'store'
    first = Recorder(settings(folder))
    put_until(first, 0, lambda status: status.written >= 3)
    second = Recorder(settings(folder))
    put_until(second, 50, lambda status: status.dropped > 0)
    assert 'another process' in second.status().error
    assert str(os.getpid()) in second.status().error
    assert len(FrameStore(folder).frames(0, 0, 9)) == 3
    first.close()
    # It takes over.
    put_until(second, 60, lambda status: status.written > 0)
    assert not second.status().error
    second.close()


def test_another_bag_is_not_written_over(tmp_path: pathlib.Path):
    from streamvlm_ros.bags.bags import write_bag

    folder = tmp_path / 'bag'
    write_bag(folder, [picture(0)], [stamp(0)], '/camera/image_raw')
    before = {path: path.read_bytes() for path in folder.iterdir()}
    recorder = Recorder(settings(folder))
    put_until(recorder, 0, lambda status: status.dropped > 0)
    assert 'another bag' in recorder.status().error
    recorder.close()
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_store_of_a_newer_version_is_left_alone(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / 'store'
    with monkeypatch.context() as newer:
        newer.setattr('streamvlm_ros.store.bag_file.VERSION', 2)
        newer.setattr('streamvlm_ros.store.metadata.VERSION', 2)
        newer.setattr('streamvlm_ros.store.scan.VERSION', 2)
        fill(folder, range(3))
    before = {path.name: path.read_bytes() for path in folder.glob('*.mcap')}
    for without_metadata in (False, True):
        if without_metadata:
            (folder / 'metadata.yaml').unlink()
            (folder / 'index.sqlite').unlink()
        recorder = Recorder(settings(folder))
        put_until(recorder, 10, lambda status: status.dropped > 0)
        assert 'version 2' in recorder.status().error
        recorder.close()
    assert {path.name: path.read_bytes() for path in folder.glob('*.mcap')} == before


@pytest.mark.parametrize('seed', sampled(range(50), 3))
def test_killed_while_it_writes(tmp_path: pathlib.Path, seed: int):
    """At most the last second is lost, what was forgotten stays so, and the bag is whole."""
    folder = tmp_path / 'store'
    command = [sys.executable, '-m', 'support.store.write_until_killed', str(folder), str(seed)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    put: list[tuple[float, int]] = []
    forgotten: set[int] = set()
    wanted = 30 + 23 * seed % 61
    for line in child.stdout:
        what, number = line.split()
        if what == 'forgot':
            forgotten |= {int(number), int(number) + 1}
        else:
            put.append((time.monotonic(), int(number)))
        if len(put) >= wanted:
            break
    killed = time.monotonic()
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read()
    child.wait()
    forgotten |= {
        int(line.split()[1]) + i
        for line in rest.splitlines()
        if line.startswith('forgot ') and line.split()[1:]
        for i in (0, 1)
    }
    recorder = Recorder(settings(folder))
    recorder.put(picture(0), stamp(5000))
    wait(recorder, lambda status: status.written == 1 and not status.unread)
    assert recorder.close() and not recorder.status().error
    store = FrameStore(folder)
    kept = {(moment.stamp_ns - stamp(0)) // 10**7 for moment in store.moments()}
    due = {number for at, number in put if at < killed - 1.0}
    # A forgetting that had begun may be done in part.
    begun = {number + i for number in range(0, 5000, 20) for i in (0, 1)}
    assert due - begun <= kept
    assert not forgotten & kept
    assert len(store.frames(0, 0, 5000)) == len(kept)
    from rosbags.rosbag2 import Reader

    with Reader(folder) as reader:
        assert sum(1 for _ in reader.messages()) == len(kept)


def test_a_canceled_forget_does_not_end_the_store(tmp_path: pathlib.Path):
    recorder = Recorder(settings(tmp_path / 'store'))
    for number in range(3):
        recorder.put(picture(number), stamp(number), 'camera')
    forget = recorder.forget(stamp(0), stamp(0))
    forget.cancel()
    recorder.forget(stamp(1), stamp(1)).result(PATIENCE)
    recorder.put(picture(3), stamp(3), 'camera')
    assert recorder.close()
    assert FrameStore(tmp_path / 'store').frames(0, 0, 10)[-1][0] == stamp(3)


def test_what_waits_for_a_pose_is_written_at_the_end(tmp_path: pathlib.Path):
    track = PoseTrack()
    recorder = Recorder(settings(tmp_path / 'store'), poses=track)
    track.add(stamp(0) - 1, Pose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0), 'map'))
    for number in range(5):
        recorder.put(picture(number), stamp(number), 'camera')
    assert recorder.close()
    assert recorder.status().written == 5


def test_files_of_others_are_left(tmp_path: pathlib.Path):
    """In a folder that is there already."""
    others = [tmp_path / 'film.mkv.part', tmp_path / 'target']
    for path in others:
        path.write_text('not ours')
    (tmp_path / '.lock').symlink_to(tmp_path / 'target')
    recorder = Recorder(settings(tmp_path))
    put_until(recorder, 0, lambda status: status.error)
    recorder.close()
    (tmp_path / '.lock').unlink()
    fill(tmp_path, range(3))
    assert all(path.read_text() == 'not ours' for path in others)
    assert (tmp_path / 'index.sqlite').stat().st_mode & 0o777 == 0o600
    notes = tmp_path / 'notes'
    notes.mkdir()
    (notes / 'metadata.yaml').write_text('title: holidays\n')
    recorder = Recorder(settings(notes))
    put_until(recorder, 0, lambda status: 'is not of a bag' in status.error)
    recorder.close()
    assert (notes / 'metadata.yaml').read_text() == 'title: holidays\n'
