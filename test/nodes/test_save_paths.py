# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where saved streams lie: in the node's folder by name, elsewhere only by an absolute path."""

from __future__ import annotations

import pathlib

import pytest

from streamvlm_ros.engine import ErrorCode, StreamError
from streamvlm_ros.nodes.save_paths import make_save_folder, save_path, stream_folder


@pytest.mark.parametrize(
    ('text', 'path'),
    [
        ('kitchen', '/data/saved/kitchen.safetensors'),
        ('kitchen.bak', '/data/saved/kitchen.bak'),
        ('monday/kitchen', '/data/saved/monday/kitchen.safetensors'),
        ('./a/../kitchen', '/data/saved/kitchen.safetensors'),
        ('/mnt/disk/kitchen', '/mnt/disk/kitchen.safetensors'),
        ('~/kitchen', '/home/robot/kitchen.safetensors'),
    ],
)
def test_paths(text: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', '/home/robot')
    assert save_path(text, '/data/saved') == pathlib.Path(path)


def test_folder_may_begin_with_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', '/home/robot')
    path = save_path('kitchen', '~/.ros/streamvlm')
    assert path == pathlib.Path('/home/robot/.ros/streamvlm/kitchen.safetensors')


@pytest.mark.parametrize('text', ['', '  ', '../kitchen', 'a/../../kitchen', '.', 'a\0b', 'a/..'])
def test_refused(text: str) -> None:
    with pytest.raises(StreamError) as refused:
        save_path(text, '/data/saved')
    assert refused.value.code == ErrorCode.INVALID_REQUEST
    assert str(refused.value).endswith('.')


def test_only_the_nodes_own_folder_is_made(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / 'a' / 'b'
    for path in (tmp_path / 'other' / 'x', folder / 'sub' / 'x'):
        make_save_folder(path, str(folder))
        assert not folder.exists() and not path.parent.exists()
    make_save_folder(folder / 'x', str(folder))
    assert folder.is_dir()
    (tmp_path / 'file').write_text('')
    with pytest.raises(StreamError, match='cannot be made'):
        make_save_folder(tmp_path / 'file' / 'sub' / 'x', str(tmp_path / 'file' / 'sub'))


@pytest.mark.parametrize(
    ('namespace', 'path'),
    [('/', '/data/saved'), ('/front', '/data/saved/front'), ('/a/b', '/data/saved/a/b')],
)
def test_every_namespace_has_its_own_folder(namespace: str, path: str) -> None:
    assert stream_folder('/data/saved', namespace) == path
