# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bags as they lie about: split, cut, copied in part, of other recorders. What is left is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import json
import pathlib
import shutil
import sys
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores
from support.nodes.bag_files import raw_image, STORE, write_messages
import yaml

from streamvlm_ros.bags import parts
from streamvlm_ros.bags.bags import image_topic, ImageBag, open_images
from streamvlm_ros.cli import main
from streamvlm_ros.errors import CommandError
from streamvlm_ros.nodes.images.images import decode_image

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FRAMES = list(np.random.default_rng(4).integers(0, 256, (6, 56, 84, 3), np.uint8))
RAW = [raw_image(frame, 1000.5 + i) for i, frame in enumerate(FRAMES)]
IMAGE = 'sensor_msgs/msg/Image'


def seen(bag: pathlib.Path, topic: str = '') -> tuple[list[int], ImageBag]:
    """Return which frames a bag gives, in its order, and the bag after that."""
    with open_images(bag, topic) as images:
        numbers = []
        for recorded_ns, message in images.recorded():
            number = message.header.stamp.sec - 1000
            np.testing.assert_array_equal(decode_image(message), FRAMES[number])
            assert recorded_ns == (1000 + number) * 10**9 + 5 * 10**8
            numbers.append(number)
        return numbers, images


def split(
    folder: pathlib.Path, storage: str, groups: Sequence[Sequence[int]] = ((0, 1), (2, 3), (4, 5))
) -> list[pathlib.Path]:
    """Write a bag of three files with two frames each; return the files."""
    folder.mkdir()
    files = []
    for number, group in enumerate(groups):
        one = folder.parent / f'{folder.name}_{number}'
        write_messages(one, {'/image': [RAW[i] for i in group]}, storage)
        ending = {'mcap': 'mcap', 'sqlite3': 'db3'}[storage]
        files.append((one / f'{one.name}.{ending}').rename(folder / f'{one.name}.{ending}'))
        about = yaml.safe_load((one / 'metadata.yaml').read_text())
        shutil.rmtree(one)
    information = about['rosbag2_bagfile_information']
    information['relative_file_paths'] = [file.name for file in files]
    information['topics_with_message_count'][0]['message_count'] = sum(map(len, groups))
    (folder / 'metadata.yaml').write_text(yaml.safe_dump(about))
    return files


def without_msg(bag: pathlib.Path) -> None:
    """Name types as some recorders do, in metadata.yaml and in the file of the same length."""
    (bag / 'metadata.yaml').write_text((bag / 'metadata.yaml').read_text().replace('/msg/', '/'))


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('what', ['folder', 'file', 'no metadata', 'damaged metadata'])
def test_a_whole_bag(tmp_path: pathlib.Path, storage: str, what: str) -> None:
    files = split(tmp_path / 'bag', storage)
    if what == 'file':
        numbers, images = seen(files[1])
        assert (numbers, images.faults, images.missing) == ([2, 3], [], 0)
        return
    if what == 'no metadata':
        (tmp_path / 'bag' / 'metadata.yaml').unlink()
    if what == 'damaged metadata':
        (tmp_path / 'bag' / 'metadata.yaml').write_text('a: [')
    numbers, images = seen(tmp_path / 'bag')
    assert (numbers, images.missing, images.damaged) == ([*range(6)], 0, 0)
    assert len(images.faults) == (what != 'folder')


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize(
    ('harm', 'sentence'),
    [
        (lambda file: file.unlink(), '1 of 3 files of {bag} are missing: {file.name}'),
        (lambda file: file.write_bytes(b''), '{file} is empty'),
        (
            lambda file: file.write_bytes(b'version https://git-lfs.github.com/spec/v1\n'),
            '{file} is the pointer of a file in Git LFS; run git lfs pull',
        ),
        (lambda file: file.write_bytes(b'<html>' * 99), '{file} cannot be read as a bag'),
        (lambda file: file.write_bytes(file.read_bytes()[:-4000]), '{file} '),
    ],
    ids=['missing', 'empty', 'pointer', 'html', 'cut off'],
)
def test_a_part_that_cannot_be_read(
    tmp_path: pathlib.Path, storage: str, harm: Callable[[pathlib.Path], Any], sentence: str
) -> None:
    """The others are read, and what is not there is counted."""
    files = split(tmp_path / 'bag', storage)
    harm(files[1])
    numbers, images = seen(tmp_path / 'bag')
    assert [n for n in numbers if n not in (2, 3)] == [0, 1, 4, 5]
    assert images.missing == 6 - len(numbers) > 0
    (fault,) = images.faults
    assert sentence.format(bag=tmp_path / 'bag', file=files[1]) in fault
    for file in files:
        file.unlink(missing_ok=True)
    with pytest.raises(CommandError, match=r'3 of 3 files of .* are missing'):
        seen(tmp_path / 'bag')


def test_a_recorder_that_was_killed(tmp_path: pathlib.Path) -> None:
    (file, *_) = split(tmp_path / 'bag', 'mcap')
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CommandError, match=r'was not closed: .*`mcap recover`'):
        seen(file)


@pytest.mark.parametrize('mode', [CompressionMode.MESSAGE, CompressionMode.FILE])
@pytest.mark.parametrize('plugin', [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize('metadata', [True, False])
def test_compressed(
    tmp_path: pathlib.Path, mode: CompressionMode, plugin: StoragePlugin, metadata: bool
) -> None:
    """Message by message, or whole files; what tells that may be missing."""
    bag = tmp_path / 'bag'
    writer = Writer(bag, version=9, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection('/image', IMAGE, typestore=STORE)
        for message in RAW:
            time = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            writer.write(connection, time, STORE.serialize_cdr(message, IMAGE))
    if not metadata:
        (bag / 'metadata.yaml').unlink()
    numbers, images = seen(bag)
    assert (numbers, images.missing, images.damaged) == ([*range(6)], 0, 0)


def test_types_without_msg(tmp_path: pathlib.Path) -> None:
    """As recorders that are not ROS write them, also beside types that nobody knows."""
    import sqlite3

    bag = tmp_path / 'bag'
    write_messages(bag, {'/image': RAW, '/other': RAW[:1]}, 'sqlite3')
    without_msg(bag)
    with sqlite3.connect(bag / 'bag.db3') as database:
        database.execute("UPDATE topics SET type = 'sensor_msgs/Image' WHERE name = '/image'")
        database.execute("UPDATE topics SET type = 'their/Own' WHERE name = '/other'")
        database.execute('DELETE FROM message_definitions')
    database.close()
    assert image_topic(bag).name == '/image'
    assert seen(bag)[0] == [*range(6)]
    with pytest.raises(CommandError) as refused:
        image_topic(bag, '/other')
    assert (
        f'has no images on /other; it has: /image (6 {IMAGE}), /other (1 their/msg/Own).'
        in str(refused.value)
    )


def test_ros1(tmp_path: pathlib.Path) -> None:
    """One file, or several in a folder."""
    store = get_typestore(Stores.ROS1_NOETIC)
    folder = tmp_path / 'bags'
    folder.mkdir()
    for name, group in (('b.bag', RAW[:3]), ('a.bag', RAW[3:])):
        with Ros1Writer(folder / name) as writer:
            connection = writer.add_connection('/image', IMAGE, typestore=store)
            for message in group:
                old = store.types['std_msgs/msg/Header'](
                    0,
                    store.types['builtin_interfaces/msg/Time'](
                        message.header.stamp.sec, message.header.stamp.nanosec
                    ),
                    'camera',
                )
                image = store.types[IMAGE](
                    old,
                    message.height,
                    message.width,
                    message.encoding,
                    message.is_bigendian,
                    message.step,
                    message.data,
                )
                time = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
                writer.write(connection, time, store.serialize_ros1(image, IMAGE))  # fmt: skip
    assert seen(folder / 'b.bag')[0] == [0, 1, 2]
    numbers, images = seen(folder)
    assert (numbers, images.faults) == ([*range(6)], [])


def test_messages_that_are_damaged(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is counted, and the rest is read."""
    bag = tmp_path / 'bag'
    with Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection('/image', IMAGE, typestore=STORE)
        whole = [bytes(STORE.serialize_cdr(message, IMAGE)) for message in RAW]
        bad = [whole[2][:40], zstd.compress(whole[3])[:-9], b'']
        for number, data in enumerate([*whole[:2], *bad, *map(zstd.compress, whole[5:])]):
            writer.write(connection, (1000 + number) * 10**9 + 5 * 10**8, data)
    numbers, images = seen(bag)
    assert (numbers, images.damaged, images.missing) == ([0, 1, 5], 3, 0)
    assert f'A message in {bag / "bag.mcap"} is damaged' in images.last_damage
    monkeypatch.setattr(parts, 'LARGEST', 1000)
    assert seen(bag)[1].damaged == 4


def test_a_file_that_ends_early(tmp_path: pathlib.Path) -> None:
    """A damaged chunk in the middle of a file: what came before counts, and what is lost."""
    files = split(tmp_path / 'bag', 'mcap')
    data = bytearray(files[1].read_bytes())
    at = data.index(b'\x05', data.index(b'/image')) + 1
    data[at : at + 8] = b'\xff' * 8
    files[1].write_bytes(data)
    numbers, images = seen(tmp_path / 'bag')
    assert [n for n in numbers if n not in (2, 3)] == [0, 1, 4, 5]
    assert images.missing == 6 - len(numbers)
    assert len(images.faults) == 1


@pytest.mark.parametrize(
    ('name', 'content', 'sentence'),
    [
        ('bag.txt', b'hello', 'give a folder, or a file that ends in .mcap, .db3, .bag'),
        ('foreign.mcap', b'\x89MCAP0\r\n\x01' + (12).to_bytes(8, 'little')
         + (4).to_bytes(4, 'little') + b'ros1' + bytes(60), "is 'ros1')"),
        ('old.bag', b'#ROSBAG V1.2\n' + bytes(99), 'cannot be read as a bag'),
        ('a.db3', b'SQLite format 3\0' + bytes(99), 'cannot be read as a bag'),
    ],
)  # fmt: skip
def test_what_is_not_a_bag(
    tmp_path: pathlib.Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CommandError) as refused:
        image_topic(tmp_path / name)
    assert sentence in str(refused.value)
    assert str(tmp_path / name) in str(refused.value)


def test_replay_tells_what_is_missing(
    model_folder: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = split(tmp_path / 'bag', 'mcap')
    files[0].unlink()
    settings = [f'model:={model_folder}', 'sample_rate:=0', 'device:=cpu', 'max_new_tokens:=4']
    options = [part for setting in settings for part in ('-p', setting)]
    assert main.main(['replay', str(tmp_path / 'bag'), '--ask', 'Why?', '--json', *options]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert (result['frames_ingested'], result['frames_missing']) == (4, 2)
    assert '1 of 3 files' in captured.err and '4 images on /image; 2 more' in captured.err


def test_replay_looks_at_the_bag_first(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model takes minutes to load."""
    from streamvlm_ros.nodes import loading

    monkeypatch.setattr(loading, 'load_engine', lambda *_: pytest.fail('a model was loaded'))
    write_messages(tmp_path / 'bag', {'/image': RAW})
    for line, sentence in (
        ([str(tmp_path / 'none')], 'There is no file'),
        ([str(tmp_path / 'bag'), '--topic', '/rear'], 'has no images on /rear'),
    ):
        assert main.main(['replay', *line, '--ask', 'Why?']) == 1
        assert sentence in capsys.readouterr().err
