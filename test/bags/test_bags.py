# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bags of raw and compressed images in both storages: which topic is meant, and what is in it."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from support.nodes.bag_files import compressed_image, raw_image, write_messages

from streamvlm_ros.bags.bags import image_topic, ImageTopic, is_compressed, read_images, write_bag
from streamvlm_ros.cli import main
from streamvlm_ros.errors import CommandError
from streamvlm_ros.nodes.images.compressed import decode_compressed
from streamvlm_ros.nodes.images.images import decode_image

FRAMES = list(np.random.default_rng(4).integers(0, 256, (6, 56, 84, 3), np.uint8))
RAW = [raw_image(frame, 1000.5 + i) for i, frame in enumerate(FRAMES)]
PNG = [compressed_image(frame, 1000.5 + i) for i, frame in enumerate(FRAMES)]


def test_image_topic(tmp_path: pathlib.Path) -> None:
    bag = tmp_path / 'bag'
    write_bag(bag, [np.zeros((2, 2, 3), np.uint8)], [5], '/front/image')
    topic = ImageTopic('/front/image')
    assert image_topic(bag) == image_topic(bag, '/front/image') == topic
    assert topic.base == topic.heard == '/front/image'
    with pytest.raises(CommandError, match=r'on /rear; it has: /front/image \(1 .*/Image'):
        image_topic(bag, '/rear')
    with pytest.raises(CommandError, match='There is no bag at'):
        image_topic(tmp_path / 'none')


@pytest.mark.parametrize(
    ('name', 'base', 'heard'),
    [
        ('/a/image/compressed', '/a/image', '/a/image/compressed'),
        ('/a/jpeg', '/a/jpeg', '/a/jpeg/compressed'),
        ('/compressed', '/compressed', '/compressed/compressed'),
    ],
)
def test_where_a_compressed_topic_is_heard(name: str, base: str, heard: str) -> None:
    topic = ImageTopic(name, compressed=True)
    assert (topic.base, topic.heard) == (base, heard)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_pictures_are_those_recorded(tmp_path: pathlib.Path, storage: str) -> None:
    jpeg = [compressed_image(np.full((8, 8, 3), 90, np.uint8), 1000, '.jpg')]
    write_messages(tmp_path / 'bag', {'/raw': RAW, '/png': PNG, '/jpeg': jpeg}, storage)
    raw = list(read_images(tmp_path / 'bag', '/raw'))
    png = list(read_images(tmp_path / 'bag', '/png'))
    assert [is_compressed(message) for message in (*raw, *png)] == [False] * 6 + [True] * 6
    for read, decode in ((raw, decode_image), (png, decode_compressed)):
        np.testing.assert_array_equal([decode(message) for message in read], FRAMES)
        stamps = [(message.header.stamp.sec, message.header.stamp.nanosec) for message in read]
        assert stamps == [(1000 + i, 500_000_000) for i in range(6)]
    (only,) = read_images(tmp_path / 'bag', '/jpeg')
    assert np.abs(decode_compressed(only).astype(int) - 90).max() <= 2


@pytest.mark.parametrize(
    ('topics', 'picked'),
    [
        ({'/a/compressed': PNG}, '/a/compressed'),
        ({'/usb/jpeg': PNG}, '/usb/jpeg'),
        ({'/a/compressed': PNG, '/a': RAW}, '/a'),
        ({'/a/compressed': PNG, '/depth/compressedDepth': PNG}, '/a/compressed'),
    ],
)
def test_one_camera(tmp_path: pathlib.Path, topics: dict[str, list], picked: str) -> None:
    write_messages(tmp_path / 'bag', topics)
    assert image_topic(tmp_path / 'bag').name == picked


def test_several_cameras_or_none(tmp_path: pathlib.Path) -> None:
    write_messages(tmp_path / 'two', {'/a/compressed': PNG, '/a': RAW, '/b/compressed': PNG})
    with pytest.raises(CommandError, match='give one as topic: /a, /b/compressed'):
        image_topic(tmp_path / 'two')
    assert image_topic(tmp_path / 'two', '/a/compressed').compressed
    write_messages(tmp_path / 'none', {'/depth/compressedDepth': PNG})
    with pytest.raises(CommandError, match=r'has no topic of type .*/Image or .*/CompressedImage'):
        image_topic(tmp_path / 'none')


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_replay_of_compressed_images(
    model_folder: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    storage: str,
) -> None:
    """PNG loses nothing: the answer is that of the raw images. What is no picture is counted."""
    settings = [f'model:={model_folder}', 'sample_rate:=0', 'device:=cpu', 'max_new_tokens:=8']
    options = [part for setting in settings for part in ('-p', setting)]
    depth = compressed_image(FRAMES[0], 2000, form='16UC1; png compressed ')
    write_messages(tmp_path / 'raw', {'/image': RAW}, storage)
    write_messages(tmp_path / 'png', {'/image/compressed': [*PNG, depth]}, storage)
    results = []
    for bag in ('raw', 'png'):
        line = ['replay', str(tmp_path / bag), '--ask', 'What happened?', '--json', *options]
        assert main.main(line) == 0
        results.append(json.loads(capsys.readouterr().out))
    raw, png = results
    assert raw['answers'][0]['answer'] == png['answers'][0]['answer'] != ''
    assert (raw['frames_ingested'], raw['frames_failed']) == (6, 0)
    assert (png['frames_ingested'], png['frames_failed']) == (6, 1)


def test_player_plays_compressed_images(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Into the topic that the node hears, whatever it was called when it was recorded."""
    from support.nodes.node_process import Camera, NodeProcess

    write_messages(tmp_path / 'bag', {'/usb/jpeg': PNG}, 'sqlite3')
    settings: dict[str, Any] = {
        'sample_rate': 0.0,
        'capacity': 512,
        'image_transport': 'compressed',
    }
    with NodeProcess(tmp_path, model=model_folder, **settings) as node, Camera() as client:
        player = [sys.executable, '-m', 'streamvlm_ros.bags.player', str(tmp_path / 'bag')]
        done = subprocess.run([*player, '/image/compressed', '1', '/usb/jpeg'], timeout=90)
        assert done.returncode == 0
        status = client.wait_status(lambda s: s.frames_received == 6 and not s.frames_waiting)
        assert (status.frames_ingested, status.frames_failed, status.last_error) == (6, 0, '')
        assert node.stop() == 0
