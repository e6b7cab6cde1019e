# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node saves its stream and is killed; another one loads it and answers the same."""

from __future__ import annotations

import json
import os
import pathlib
import signal
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built: run make test')

from support.nodes.node_process import Camera, make_image, NodeProcess, SECOND

from streamvlm_ros.cli import main
from streamvlm_ros.srv import Ask, LoadStream, SaveStream

TOKENS = 12


def publish(camera: Camera, first: int, last: int) -> None:
    """Publish frames by their numbers and wait until they are in the stream."""
    for i in range(first, last):
        camera.publish(make_image((1000 + i) * SECOND, i))
    expected = camera.published
    camera.wait_status(lambda s: s.frames_ingested == expected)


def ask(camera: Camera) -> tuple[object, ...]:
    """Return an answer and what it was given on, without what took how long."""
    answer = camera.ask('What is there?', max_new_tokens=TOKENS, timeout=30.0).answer
    assert answer.completion_tokens == TOKENS
    return (answer.text, answer.header, answer.oldest_stamp, answer.frames, answer.epoch)


def test_saved_killed_loaded(
    domain: int,
    model_folder: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / 'saved'
    settings: dict[str, Any] = {
        'model': model_folder,
        'sample_rate': 0.0,
        'save_folder': folder,
        'skip_static': 4.0,
    }
    with NodeProcess(tmp_path, **settings) as node, Camera(node) as camera:
        camera.wait_ready()
        assert camera.save('stream').error_code == SaveStream.Response.NO_FRAMES
        publish(camera, 0, 11)
        before = ask(camera)
        saved = camera.save('stream')
        assert saved.success, saved.error_msg
        assert saved.path == str(folder / 'stream.safetensors')
        assert saved.bytes == (folder / 'stream.safetensors').stat().st_size
        assert saved.frames == 11
        check_refused(camera, folder)
        # A name that is no text, by a link: no response could carry it as it is.
        (folder / os.fsdecode(b'\xff')).mkdir()
        (folder / 'link').symlink_to(os.fsdecode(b'\xff'))
        assert camera.save('link/stream').path == f'{folder}/\ufffd/stream.safetensors'
        assert ask(camera) == before
        publish(camera, 11, 16)
        later = ask(camera)
        assert later != before
        node.process.send_signal(signal.SIGKILL)
        node.process.wait()
    with NodeProcess(tmp_path, **settings) as node, Camera(node) as camera:
        camera.wait_ready()
        assert main.main(['load', 'stream', '--json']) == 0
        loaded = json.loads(capsys.readouterr().out)
        assert loaded == {name: getattr(saved, name) for name in loaded}
        assert camera.wait_status(lambda s: s.cache_tokens == saved.tokens).frames_ingested == 0
        assert ask(camera) == before
        # It goes on as the killed one did.
        for i in range(11, 16):
            camera.publish(make_image((1000 + i) * SECOND, i))
        camera.wait_status(lambda s: s.frames_ingested == 5)
        assert ask(camera) == later
        assert main.main(['save', 'later']) == 0
        assert f'saved in {folder}/later.safetensors' in capsys.readouterr().out
        assert main.main(['save', str(tmp_path / 'elsewhere')]) == 1
        assert 'start the node with allow_any_path' in capsys.readouterr().err
        assert not list(tmp_path.glob('elsewhere*'))
        assert main.main(['load', 'nothing']) == 1
        assert 'cannot be read (No such file or directory)' in capsys.readouterr().err
        # A still scene is left out, and counted.
        for i in range(16, 24):
            camera.publish(make_image((1000 + i) * SECOND, 16))
        still = camera.wait_status(lambda s: s.frames_ingested == 13)
        assert still.skipped_patches == 3  # of four pairs
        # Into a stream that has been something else since: another epoch.
        response = camera.load('stream')
        assert (response.success, response.epoch) == (True, 1)
        assert ask(camera)[:-1] == before[:-1]
        assert node.stop() == 0
        assert 'Traceback' not in node.log()
        assert f'Loaded {folder}/stream.safetensors: 11 frames' in node.log()
        assert f'Saved {folder}/later.safetensors: ' in node.log()


@pytest.mark.parametrize('name', ['kitchen', 'nothing'])
def test_loaded_at_the_start(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path, name: str
) -> None:
    """A node that is started anew remembers; one that was never saved begins empty."""
    settings: dict[str, Any] = {
        'model': model_folder,
        'sample_rate': 0.0,
        'save_folder': tmp_path / 'saved',
    }
    with NodeProcess(tmp_path, **settings) as node, Camera(node) as camera:
        camera.wait_ready()
        publish(camera, 0, 4)
        assert camera.save('kitchen').success
        node.process.send_signal(signal.SIGKILL)
        node.process.wait()
    with (
        NodeProcess(tmp_path, **settings, load_at_start=name) as node,
        Camera(node) as camera,
    ):
        camera.wait_ready()
        answer = camera.ask('What is there?', max_new_tokens=2)
        assert answer.success is (name == 'kitchen')
        assert answer.answer.frames == (4 if name == 'kitchen' else 0)
        told = {'kitchen': 'Loaded ', 'nothing': 'Nothing was loaded at the start, the '}
        assert told[name] in node.log()


def check_refused(camera: Camera, folder: pathlib.Path) -> None:
    """See bad paths and a damaged file refused, with the stream going on."""
    for path in ('', '/', '../stream', '~/stream', str(folder / 'stream'), 'stream.pth'):
        for response in (camera.save(path), camera.load(path)):
            assert response.error_code == Ask.Response.INVALID_REQUEST
            assert response.error_msg.endswith('.')
    whole = (folder / 'stream.safetensors').read_bytes()
    (folder / 'cut.safetensors').write_bytes(whole[:-100])
    (folder / 'notes.safetensors').write_text('Not a stream.')
    assert camera.load('cut').error_code == LoadStream.Response.FILE_ERROR
    response = camera.save('notes')
    assert response.error_code == SaveStream.Response.FILE_ERROR
    assert 'exists already and is not a saved stream' in response.error_msg
    assert (folder / 'notes.safetensors').read_text() == 'Not a stream.'
