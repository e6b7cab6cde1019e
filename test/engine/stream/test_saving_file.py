# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The file of a saved stream: what is written, and that the old one survives every failure."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
from safetensors import safe_open
from safetensors.torch import save_file
from support.saving.streams import feed, stream
from support.whole import sampled
import torch

from streamvlm_ros.engine import (
    ErrorCode,
    StreamError,
)

ROOT = pathlib.Path(__file__).parents[3]


def test_only_what_is_live_is_written(tmp_path: pathlib.Path) -> None:
    """The capacity makes no difference to the file, which is plain safetensors."""
    sizes = []
    for capacity in (256, 4096):
        engine = stream(capacity=capacity)
        feed(engine, 0, 8)
        sizes.append(engine.save(tmp_path / 'a').bytes)
    assert sizes[0] == sizes[1] < 256 * 1024
    with safe_open(tmp_path / 'a', 'pt') as file:
        assert file.metadata()['format'] == 'streamvlm_ros stream'
        assert file.get_tensor('keys.0').shape[1] == engine.get_cache_info().tokens


def test_nothing_to_save(tmp_path: pathlib.Path) -> None:
    with pytest.raises(StreamError, match='nothing to save') as caught:
        stream().save(tmp_path / 'a')
    assert caught.value.code == ErrorCode.NO_FRAMES
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('number', [float('nan'), float('inf'), -float('inf')])
def test_only_finite_numbers_are_written(number: float, tmp_path: pathlib.Path) -> None:
    """What the model has made of numbers that do not fit cannot be gone on from."""
    engine = stream()
    feed(engine, 0, 4)
    engine.stream.cache.values[1][0, 5, 3] = number
    with pytest.raises(StreamError, match=r'values\.1 has numbers that are not finite') as caught:
        engine.save(tmp_path / 'a')
    assert caught.value.code == ErrorCode.FILE_ERROR
    assert not list(tmp_path.iterdir())


def test_no_other_file_is_overwritten(tmp_path: pathlib.Path) -> None:
    """A saved stream, a truncated one or an empty file may be replaced; nothing else."""
    engine = stream()
    feed(engine, 0, 4)
    path = tmp_path / 'a'
    for content in (b'', None):
        path.write_bytes(path.read_bytes()[:-5] if content is None else content)
        engine.save(path)
    save_file({'weight': torch.zeros(2)}, tmp_path / 'model.safetensors')
    before = (tmp_path / 'model.safetensors').read_bytes()
    with pytest.raises(StreamError, match='exists already and is not a saved stream'):
        engine.save(tmp_path / 'model.safetensors')
    assert (tmp_path / 'model.safetensors').read_bytes() == before
    os.mkfifo(tmp_path / 'pipe')
    for path in (tmp_path, tmp_path / 'pipe'):
        with pytest.raises(StreamError, match='it is a folder, a device, a pipe or a link'):
            engine.save(path)
    with pytest.raises(StreamError, match=r'cannot be written \(No such file or directory\)'):
        engine.save(tmp_path / 'no' / 'such')


def test_a_full_disk_leaves_the_old_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = stream()
    feed(engine, 0, 4)
    engine.save(tmp_path / 'a')
    before = (tmp_path / 'a').read_bytes()
    write = os.write
    feed(engine, 4, 12)

    def full(descriptor: int, data: memoryview) -> int:
        if len(data) < 1000:
            return write(descriptor, data)
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('streamvlm_ros.engine.store.atomic_file.os.write', full)
    with pytest.raises(StreamError, match='No space left on device'):
        engine.save(tmp_path / 'a')
    monkeypatch.undo()
    assert [file.name for file in tmp_path.iterdir()] == ['a']
    assert (tmp_path / 'a').read_bytes() == before


@pytest.mark.parametrize('points', sampled([25, 200], 1))
def test_killed_while_saving(points: int, tmp_path: pathlib.Path) -> None:
    """At many points, the ones around the renaming among them: the old file or the new one."""
    command = [
        sys.executable,
        '-m',
        'support.saving.save_until_killed',
        str(tmp_path),
        str(points),
        '7',
    ]
    path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    run = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
        env={**os.environ, 'PYTHONPATH': path},
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found['old'] + found['new'] == points
    # Calls behind the renaming: closing the file, syncing and closing the folder.
    assert found['new'] >= 3 and found['old'] >= points - 15
    assert found['calls'] > 40
    assert found['left'] == 0
