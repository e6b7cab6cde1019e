# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where saved streams lie: in the node's folder by name, elsewhere only where that is allowed."""

from __future__ import annotations

import os
import pathlib
import stat

import pytest

from streamvlm_ros.engine import ErrorCode, StreamError
from streamvlm_ros.nodes.parameters.save_paths import save_path, SaveFolder, stream_folder


@pytest.mark.parametrize(
    ('text', 'path'),
    [
        ('kitchen', 'kitchen.safetensors'),
        ('kitchen.safetensors', 'kitchen.safetensors'),
        ('monday/kitchen', 'monday/kitchen.safetensors'),
        ('./a/../kitchen', 'kitchen.safetensors'),
        ('.kitchen', '.kitchen.safetensors'),
        ('.safetensors', '.safetensors.safetensors'),
        ('Küche 2', 'Küche 2.safetensors'),
        ('k' * 243, 'k' * 243 + '.safetensors'),
    ],
)
def test_names_in_the_folder(text: str, path: str, tmp_path: pathlib.Path) -> None:
    for anywhere in (False, True):
        assert save_path(text, str(tmp_path), anywhere) == tmp_path / path


@pytest.mark.parametrize(
    ('text', 'path'),
    [
        ('/mnt/disk/kitchen', '/mnt/disk/kitchen.safetensors'),
        ('//mnt/kitchen', '/mnt/kitchen.safetensors'),
        ('~/kitchen', '/home/robot/kitchen.safetensors'),
    ],
)
def test_other_places_only_where_allowed(
    text: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('HOME', '/home/robot')
    assert save_path(text, '/data/saved', anywhere=True) == pathlib.Path(path)
    with pytest.raises(StreamError, match='start the node with allow_any_path') as refused:
        save_path(text, '/data/saved')
    assert refused.value.code == ErrorCode.INVALID_REQUEST


def test_folder_may_begin_with_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', '/home/robot')
    path = save_path('kitchen', '~/.ros/streamvlm')
    assert path == pathlib.Path('/home/robot/.ros/streamvlm/kitchen.safetensors')


@pytest.mark.parametrize('anywhere', [False, True])
@pytest.mark.parametrize(
    'text',
    [
        *('', '  ', '.', '..', '/', '//', '/tmp/', 'a/', 'a/..', '../kitchen', 'a/../../kitchen'),
        *('a\0b', 'a\nb', 'a\x1b[31m', 'a\x7f', 'a\x85', 'a\u2028b', 'a\udc80', '\ud800'),
        *('kitchen.bak', 'kitchen.pth', 'kitchen.SAFETENSORS', 'kitchen.', 'a.safetensors.py'),
        *('k' * 244, 'ü' * 122, 'k' * 5000, 'a/' * 2100 + 'k', 'k' * 4200 + '\ud800'),
        '~nobody-of-this-name/kitchen',
        '~nobody-of-this-name',
    ],
)
def test_refused(text: str, anywhere: bool, tmp_path: pathlib.Path) -> None:
    with pytest.raises(StreamError) as refused:
        save_path(text, str(tmp_path), anywhere)
    assert refused.value.code == ErrorCode.INVALID_REQUEST
    assert str(refused.value).endswith('.') and len(str(refused.value)) < 400
    str(refused.value).encode()


def opened(folder: SaveFolder, text: str, make: bool = False) -> str:
    """Return where a file's folder really is, by its descriptor, and the file's name."""
    with folder.place(text, make) as place:
        return f'{os.readlink(f"/proc/self/fd/{place.folder}")}/{place.name}'


def refusal(folder: SaveFolder, text: str) -> ErrorCode:
    with pytest.raises(StreamError) as refused, folder.place(text, make=True):
        pass
    assert str(refused.value).endswith('.')
    return refused.value.code


def test_links_do_not_lead_out(tmp_path: pathlib.Path) -> None:
    home, outside = tmp_path / 'saved', tmp_path / 'outside'
    (home / 'sub').mkdir(parents=True)
    outside.mkdir()
    (home / 'out').symlink_to(outside)
    (home / 'inner').symlink_to('sub')
    (home / 'file.safetensors').symlink_to(outside / 'file.safetensors')
    (home / 'other.safetensors').symlink_to('run.pth')
    (home / 'alias.safetensors').symlink_to('sub/real.safetensors')
    (home / 'loop').symlink_to('loop')
    folder = SaveFolder(str(home), '/')
    assert opened(folder, 'inner/a') == f'{home}/sub/a.safetensors'
    assert opened(folder, 'alias') == f'{home}/sub/real.safetensors'
    for text in ('out/a', 'file', 'other', 'out/../../outside/a'):
        assert refusal(folder, text) == ErrorCode.INVALID_REQUEST
    assert refusal(folder, 'loop/a') == ErrorCode.FILE_ERROR
    assert refusal(folder, 'none/a') == ErrorCode.FILE_ERROR
    # The folder that a node of another namespace would have, put elsewhere by a link.
    (home / 'front').symlink_to(outside)
    assert refusal(SaveFolder(str(home), '/front'), 'a') == ErrorCode.INVALID_REQUEST
    # What the one who starts the node has linked is his own matter.
    (tmp_path / 'link').symlink_to(home)
    assert opened(SaveFolder(str(tmp_path / 'link'), '/'), 'a') == f'{home}/a.safetensors'


def test_a_link_put_there_meanwhile_is_not_followed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking at the path and opening it, a folder becomes a link."""
    home, outside = tmp_path / 'saved', tmp_path / 'outside'
    (home / 'sub').mkdir(parents=True)
    outside.mkdir()
    resolve = save_path

    def swapped(*arguments: object) -> pathlib.Path:
        path = resolve(*arguments)  # type: ignore[arg-type]
        (home / 'sub').rmdir()
        (home / 'sub').symlink_to(outside)
        return path

    monkeypatch.setattr('streamvlm_ros.nodes.parameters.save_paths.save_path', swapped)
    assert refusal(SaveFolder(str(home), '/'), 'sub/a') == ErrorCode.FILE_ERROR


def test_only_the_nodes_own_folder_is_made(tmp_path: pathlib.Path) -> None:
    """For its owner alone, also where what it is in was not there."""
    root = tmp_path / 'a' / 'b'
    folder = SaveFolder(str(root), '/front/left', anywhere=True)
    assert refusal(folder, str(tmp_path / 'other' / 'x')) == ErrorCode.FILE_ERROR
    assert not (tmp_path / 'other').exists() and not root.exists()
    with pytest.raises(StreamError), folder.place('x'):
        pass
    assert not root.exists()
    assert opened(folder, 'x', make=True) == f'{root}/front/left/x.safetensors'
    for made in (root, root / 'front', root / 'front' / 'left'):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert refusal(folder, 'sub/x') == ErrorCode.FILE_ERROR
    assert not (root / 'front' / 'left' / 'sub').exists()


@pytest.mark.parametrize('folder', ['{0}/file', '{0}/file/sub', '{0}/a\0b', '{0}/' + 'k' * 300])
def test_a_folder_that_cannot_be(folder: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / 'file').write_text('')
    place = SaveFolder(folder.format(tmp_path), '/')
    assert refusal(place, 'x') == ErrorCode.FILE_ERROR


@pytest.mark.parametrize(
    ('namespace', 'path'),
    [('/', '/data/saved'), ('/front', '/data/saved/front'), ('/a/b', '/data/saved/a/b')],
)
def test_every_namespace_has_its_own_folder(namespace: str, path: str) -> None:
    assert stream_folder('/data/saved', namespace) == path
