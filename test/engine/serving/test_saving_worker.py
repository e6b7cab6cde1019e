# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The worker saves and loads beside the model's thread, one at a time; a disk keeps nobody."""

from __future__ import annotations

from concurrent.futures import Future
import pathlib
import threading
from typing import Any

import pytest
from support.models.random_models import processor, random_clip, random_model
from support.saving.held_os import HeldOs, PATIENCE

from streamvlm_ros.engine import (
    ErrorCode,
    StreamError,
    StreamSettings,
    StreamWorker,
    VideoStreamingInference,
)
from streamvlm_ros.engine.store import atomic_file, file


def engine_with(frames: int, seed: int = 1) -> VideoStreamingInference:
    engine = VideoStreamingInference(
        random_model('one_kv_head'), processor(), settings=StreamSettings(capacity=256)
    )
    for i in range(frames):
        engine.append_frame(random_clip(seed + i, 1, 56, 84)[0], 10.0 + i)
    return engine


@pytest.fixture
def worker() -> Any:
    made = StreamWorker(engine_with(9))
    made.start()
    yield made
    assert made.stop(PATIENCE)


def code_of(future: Future[Any]) -> ErrorCode:
    error = future.exception(PATIENCE)
    assert isinstance(error, StreamError) and str(error).endswith('.')
    return error.code


def test_saved_and_loaded(worker: StreamWorker, tmp_path: pathlib.Path) -> None:
    saved = worker.save(tmp_path / 'a').result(PATIENCE)
    before = worker.ask('What?', max_new_tokens=5).result(PATIENCE)
    assert (saved.frames, saved.bytes) == (9, (tmp_path / 'a').stat().st_size)
    worker.reset().result(PATIENCE)
    loaded = worker.load(tmp_path / 'a').result(PATIENCE)
    assert (loaded.frames, loaded.tokens, loaded.bytes) == (9, saved.tokens, saved.bytes)
    assert worker.ask('What?', max_new_tokens=5).result(PATIENCE).text == before.text
    assert worker.status().epoch == loaded.epoch == 1
    # The same bytes as without a worker.
    engine_with(9).save(tmp_path / 'b')
    assert (tmp_path / 'a').read_bytes() == (tmp_path / 'b').read_bytes()


def test_the_model_goes_on_while_a_file_is_written(
    worker: StreamWorker, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames and questions are served; the file has the stream as it was; others are BUSY."""
    held = HeldOs('write')
    monkeypatch.setattr(atomic_file, 'os', held)
    saving = worker.save(tmp_path / 'a')
    assert held.reached.wait(PATIENCE)
    worker.submit_frame(random_clip(3, 1, 56, 84)[0], 20 * 10**9)
    worker.ask('What?', max_new_tokens=3, after_ns=20 * 10**9).result(PATIENCE)
    assert code_of(worker.save(tmp_path / 'b')) == ErrorCode.BUSY
    assert code_of(worker.load(tmp_path / 'a')) == ErrorCode.BUSY
    held.go_on.set()
    assert saving.result(PATIENCE).frames == 9
    assert worker.load(tmp_path / 'a').result(PATIENCE).frames == 9
    assert worker.save(tmp_path / 'a').result(PATIENCE).frames == 9


def test_another_stream_of_the_thread_is_not_busy(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = StreamWorker(engine_with(3))
    other = StreamWorker(engine_with(5), beside=one)
    one.start()
    held = HeldOs('write')
    monkeypatch.setattr(atomic_file, 'os', held)
    futures = [one.save(tmp_path / 'one'), other.save(tmp_path / 'other')]
    held.go_on.set()
    assert [future.result(PATIENCE).frames for future in futures] == [3, 5]
    assert one.stop(PATIENCE)


def test_stopped_while_a_file_is_written(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller is answered; the old file stays, and nothing beside it."""
    worker = StreamWorker(engine_with(9))
    worker.start()
    worker.save(tmp_path / 'a').result(PATIENCE)
    before = (tmp_path / 'a').read_bytes()
    held = HeldOs('write')
    monkeypatch.setattr(atomic_file, 'os', held)
    saving = worker.save(tmp_path / 'a')
    assert held.reached.wait(PATIENCE)
    stopping = threading.Thread(target=worker.stop, args=(PATIENCE,))
    stopping.start()
    while not worker._files._stopping.is_set():
        stopping.join(0.01)
    held.go_on.set()
    stopping.join(PATIENCE)
    assert not stopping.is_alive()
    assert code_of(saving) == ErrorCode.NOT_ACTIVE
    assert [path.name for path in tmp_path.iterdir()] == ['a']
    assert (tmp_path / 'a').read_bytes() == before
    for future in (worker.save(tmp_path / 'a'), worker.load(tmp_path / 'a')):
        assert code_of(future) == ErrorCode.NOT_ACTIVE


def test_a_disk_that_hangs_keeps_nobody(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for the disk for ever is answered when the worker is stopped."""
    worker = StreamWorker(engine_with(3))
    worker.start()
    held = HeldOs('write')
    monkeypatch.setattr(atomic_file, 'os', held)
    saving = worker.save(tmp_path / 'a')
    assert held.reached.wait(PATIENCE)
    assert worker.stop(0.5)
    assert code_of(saving) == ErrorCode.NOT_ACTIVE
    [(_, thread)] = worker._files._running.values()
    held.go_on.set()
    thread.join(PATIENCE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('verb', ['save', 'load'])
def test_cancelled(
    verb: str, worker: StreamWorker, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it is done for good the caller can cancel, and nothing has changed."""
    worker.save(tmp_path / 'a').result(PATIENCE)
    worker.submit_frame(random_clip(3, 1, 56, 84)[0], 20 * 10**9)
    worker.ask('What?', max_new_tokens=1, after_ns=20 * 10**9).result(PATIENCE)
    before, epoch = (tmp_path / 'a').read_bytes(), worker.status().epoch
    module, name = (atomic_file, 'write') if verb == 'save' else (file, 'preadv')
    held = HeldOs(name)
    monkeypatch.setattr(module, 'os', held)
    future = getattr(worker, verb)(tmp_path / 'a')
    assert held.reached.wait(PATIENCE)
    [(_, thread)] = worker._files._running.values()
    assert future.cancel()
    held.go_on.set()
    thread.join(PATIENCE)
    assert (tmp_path / 'a').read_bytes() == before
    assert (
        worker.status().epoch,
        worker.ask('What?', max_new_tokens=1).result(PATIENCE).frames,
    ) == (epoch, 10)


def test_faults_are_answered_and_the_stream_goes_on(
    worker: StreamWorker, tmp_path: pathlib.Path
) -> None:
    (tmp_path / 'text').write_text('no stream')
    before = worker.ask('What?', max_new_tokens=5).result(PATIENCE).text
    for verb in (worker.save, worker.load):
        for name in ('text', 'no/a'):
            assert code_of(verb(tmp_path / name)) == ErrorCode.FILE_ERROR
    assert worker.ask('What?', max_new_tokens=5).result(PATIENCE).text == before
    worker.reset().result(PATIENCE)
    assert code_of(worker.save(tmp_path / 'a')) == ErrorCode.NO_FRAMES
