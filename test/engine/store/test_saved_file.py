# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Nothing that lies in the way keeps the writer of a saved stream, nothing fools its reader."""

from __future__ import annotations

import fcntl
import json
import os
import pathlib
import socket
import stat
import tracemalloc
import zlib

import pytest
from support.models.random_models import processor, random_clip, random_model
from support.saving.saved_bytes import SavedBytes

from streamvlm_ros.engine import ErrorCode, StreamError, StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.store import atomic_file


@pytest.fixture(scope='module')
def engine() -> VideoStreamingInference:
    made = VideoStreamingInference(
        random_model('one_kv_head'), processor(), settings=StreamSettings(capacity=256)
    )
    for i, frame in enumerate(random_clip(1, 9, 56, 84)):
        made.append_frame(frame, 1.0 + i)
    return made


def refused(engine: VideoStreamingInference, verb: str, path: pathlib.Path) -> str:
    """Return the sentence with which a file is refused; the stream is as it was."""
    before = engine.get_cache_info(), engine.stream.cache.entries
    with pytest.raises(StreamError) as caught:
        getattr(engine, verb)(path)
    assert caught.value.code == ErrorCode.FILE_ERROR
    assert (engine.get_cache_info(), engine.stream.cache.entries) == before
    assert str(caught.value).endswith('.') and str(caught.value).isprintable()
    return str(caught.value)


def test_written_for_the_owner_alone(
    engine: VideoStreamingInference, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / 'a'
    path.write_bytes(b'')
    path.chmod(0o666)
    engine.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_no_file_is_refused_at_once(
    engine: VideoStreamingInference, tmp_path: pathlib.Path
) -> None:
    """Nobody is at the other end of the pipe and of the socket: to open them would wait."""
    os.mkfifo(tmp_path / 'pipe')
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'elsewhere').write_bytes(b'')
    (tmp_path / 'link').symlink_to(tmp_path / 'elsewhere')
    (tmp_path / 'loop').symlink_to(tmp_path / 'loop')
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / 'socket'))
    names = [tmp_path / name for name in ('pipe', 'folder', 'link', 'loop', 'socket')]
    for path in (*names, pathlib.Path('/dev/null'), pathlib.Path('/dev/zero')):
        for verb in ('save', 'load'):
            assert 'it is a folder, a device, a pipe or a link' in refused(engine, verb, path)
    assert (tmp_path / 'elsewhere').read_bytes() == b''
    assert len(list(tmp_path.iterdir())) == 6
    for name in ('a\0b', '\ud800'):
        assert 'cannot be' in refused(engine, 'save', pathlib.Path(f'{tmp_path}/{name}/a'))


def test_leftovers_are_removed_unless_somebody_has_them(
    engine: VideoStreamingInference, tmp_path: pathlib.Path
) -> None:
    """Pipes and locks under the name of an unfinished file keep nobody waiting."""
    names = [f'{atomic_file.START}{i}{atomic_file.END}' for i in range(4)]
    dead, locked, pipe, link = (tmp_path / name for name in names)
    for path in (dead, locked, tmp_path / 'precious'):
        path.write_text('something')
    os.mkfifo(pipe)
    link.symlink_to(tmp_path / 'precious')
    with open(locked) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        engine.save(tmp_path / 'a')
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
            ['a', 'precious', locked.name, pipe.name, link.name]
        )
    engine.save(tmp_path / 'a')
    assert not locked.exists() and (tmp_path / 'precious').read_text() == 'something'


def test_a_locked_file_is_replaced(
    engine: VideoStreamingInference, tmp_path: pathlib.Path
) -> None:
    engine.save(tmp_path / 'a')
    with open(tmp_path / 'a', 'rb') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        engine.save(tmp_path / 'a')


@pytest.mark.parametrize(
    ('call', 'number', 'text'),
    [
        ('open', 30, 'Read-only file system'),
        ('open', 13, 'Permission denied'),
        ('write', 28, 'No space left'),
        ('write', 122, 'Disk quota exceeded'),
        ('fsync', 5, 'Input/output error'),
        ('rename', 18, 'Invalid cross-device link'),
    ],
)
def test_what_the_system_refuses(
    call: str,
    number: int,
    text: str,
    engine: VideoStreamingInference,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A folder that cannot be written, a full disk; the old file stays, and nothing else."""
    engine.save(tmp_path / 'a')
    before = (tmp_path / 'a').read_bytes()

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    class Failing:
        def __getattr__(self, name: str) -> object:
            return fail if name == call else getattr(os, name)

    monkeypatch.setattr(atomic_file, 'os', Failing())
    assert text in refused(engine, 'save', tmp_path / 'a')
    assert [path.name for path in tmp_path.iterdir()] == ['a']
    assert (tmp_path / 'a').read_bytes() == before


def test_too_little_space_is_known_before(
    engine: VideoStreamingInference, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = os.statvfs(tmp_path)

    class Full:
        f_blocks, f_bavail, f_frsize = space.f_blocks, 1, 512

    monkeypatch.setattr('streamvlm_ros.engine.store.file.os.fstatvfs', lambda _: Full)
    assert 'bytes, and 512 are free' in refused(engine, 'save', tmp_path / 'a')
    assert not list(tmp_path.iterdir())


def head(text: bytes) -> bytes:
    return len(text).to_bytes(8, 'little') + text


MARK = b'{"__metadata__": {"format": "streamvlm_ros stream", "stream": "{}"}'


@pytest.mark.parametrize(
    'data',
    [
        head(b'[' * (1 << 26)),
        head(b'[' * 100000),
        head(b'{"a":' * 100000),
        head(b'[]'),
        head(b'3'),
        head(b'\xff\xfe{}'),
        head(MARK + b'}'),
        head(MARK + b', "crc32": 3}'),
        head(MARK + b', "a": {"dtype": "U8", "shape": [1e9], "data_offsets": [0, 1]}}') + b'\0',
        head(MARK + b', "a": ' + b'9' * 100000 + b'}'),
        (2**63).to_bytes(8, 'little') + b'{}',
        (2**64 - 1).to_bytes(8, 'little'),
    ],
    ids=range(12),
)
def test_headers(data: bytes, engine: VideoStreamingInference, tmp_path: pathlib.Path) -> None:
    """Deep ones, long ones, ones that lie: refused without more memory than the file has."""
    (tmp_path / 'a').write_bytes(data)
    tracemalloc.start()
    try:
        refused(engine, 'load', tmp_path / 'a')
        assert tracemalloc.get_traced_memory()[1] < len(data) + (1 << 23)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize('tensor', ['keys.0', 'units', 'positions', 'pending.0', 'more'])
def test_a_sparse_giant_is_not_read(
    tensor: str, engine: VideoStreamingInference, tmp_path: pathlib.Path
) -> None:
    """A terabyte that takes no room on the disk, with a header that says just that."""
    path = tmp_path / 'a'
    engine.save(path)
    file = SavedBytes(path.read_bytes())
    giant = 1 << 40
    kind, shape = {
        'keys.0': ('F32', [1, giant // 64, 16]),
        'units': ('I64', [giant // 56, 7]),
        'positions': ('I64', [3, giant // 24]),
        'pending.0': ('U8', [giant // 3, 1, 3]),
        'more': ('U8', [giant]),
    }[tensor]
    size = {'F32': 4, 'I64': 8, 'U8': 1}[kind]
    for side in shape:
        size *= side
    sums = {'dtype': 'I64', 'shape': [2], 'data_offsets': [size, size + 16]}
    header = json.dumps(
        {
            '__metadata__': {'format': 'streamvlm_ros stream', 'stream': json.dumps(file.about)},
            tensor: {'dtype': kind, 'shape': shape, 'data_offsets': [0, size]},
            'crc32': sums,
        }
    )

    with open(path, 'wb') as written:
        written.write(head(header.encode()))
        written.seek(size, os.SEEK_CUR)
        written.write(zlib.crc32(header.encode()).to_bytes(8, 'little') + bytes(8))
    assert path.stat().st_size > giant // 2
    refused(engine, 'load', path)


def test_a_file_that_is_cut_while_it_is_read(
    engine: VideoStreamingInference, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'a'
    engine.save(path)
    read, offsets = os.preadv, []

    def cut(descriptor: int, buffers: list, offset: int) -> int:
        offsets.append(offset)
        if len(offsets) == 6:
            os.truncate(path, offset + 1)
        return read(descriptor, buffers, offset)

    monkeypatch.setattr('streamvlm_ros.engine.store.file.os.preadv', cut)
    assert 'it ends too early' in refused(engine, 'load', path)
