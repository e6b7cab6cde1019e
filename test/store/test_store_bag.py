# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The store's folder is a bag: readers that are not ours read it."""

from __future__ import annotations

import json
import pathlib

from mcap.reader import make_reader
import numpy as np
import pytest
from rosbags.rosbag2 import Reader
from rosbags.typesys import get_types_from_msg, get_typestore, Stores
from support.store.scenes import picture, settings, shown, stamp, wait

from streamvlm_ros.bags.bags import open_images
from streamvlm_ros.store.folder import store_files
from streamvlm_ros.store.moments import Pose, StoredAnswer
from streamvlm_ros.store.recorder import Recorder

POSE = Pose((1.0, 2.0, 0.5), (0.0, 0.0, 0.6, 0.8), 'map')


class OnePose:
    """The same pose at all times but the first."""

    def at(self, stamp_ns: int, frame_id: str) -> Pose | None:
        return POSE if stamp_ns > stamp(0) else None

    def covers(self, stamp_ns: int, frame_id: str) -> bool:
        return True


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp('bag') / 'store'
    for first in (0, 3):
        recorder = Recorder(settings(folder), poses=OnePose())
        for number in range(first, first + 3):
            recorder.put(picture(number), stamp(number), 'camera')
        text = json.dumps({'question': 'Wo ist die Kugel?', 'text': 'links – oben'})
        recorder.put_answer(StoredAnswer(text, stamp(first), stamp(first + 2)))
        wait(recorder)
        assert recorder.close()
    return folder


def test_rosbags_reads_it(bag: pathlib.Path):
    with Reader(bag) as reader:
        types = {c.topic: c.msgtype for c in reader.connections}
        assert types == {
            '/camera/image_raw/compressed': 'sensor_msgs/msg/CompressedImage',
            '/streamvlm/stored_pose': 'geometry_msgs/msg/PoseStamped',
            '/streamvlm/stored_answers': 'std_msgs/msg/String',
        }
        assert reader.message_count == 6 + 5 + 2
        # With the definitions that are in the file, not with ours.
        store = get_typestore(Stores.EMPTY)
        for connection in reader.connections:
            store.register(
                {
                    name: kind
                    for name, kind in get_types_from_msg(
                        connection.msgdef.data, connection.msgtype
                    ).items()
                    if name not in store.types
                }
            )
        read = {topic: [] for topic in types}
        for connection, _, raw in reader.messages():
            read[connection.topic].append(store.deserialize_cdr(raw, connection.msgtype))
    images = read['/camera/image_raw/compressed']
    assert [each.header.frame_id for each in images] == ['camera'] * 6
    assert {each.format for each in images} == {'jpeg'}
    poses = read['/streamvlm/stored_pose']
    assert [each.pose.orientation.w for each in poses] == [0.8] * 5
    assert {each.header.frame_id for each in poses} == {'map'}
    answer = json.loads(read['/streamvlm/stored_answers'][0].data)
    assert answer['text'] == 'links – oben' and answer['first_ns'] == stamp(0)


def test_mcap_reads_every_file(bag: pathlib.Path):
    count = 0
    for name in store_files(bag):
        with (bag / name).open('rb') as file:
            reader = make_reader(file, validate_crcs=True)
            summary = reader.get_summary()
            assert summary is not None and summary.statistics is not None
            assert {each.encoding for each in summary.schemas.values()} == {'ros2msg'}
            (epoch,) = [each.metadata for each in reader.iter_metadata()]
            assert epoch['clock'] == 'ros' and epoch['zone'] and epoch['utc_offset']
            found = sum(1 for _ in reader.iter_messages())
            assert found == summary.statistics.message_count
            count += found
    assert count == 6 + 5 + 2


def test_our_replay_takes_it(bag: pathlib.Path):
    from streamvlm_ros.nodes.images.compressed import decode_compressed

    with open_images(bag) as images:
        assert not images.faults and images.topic.base == '/camera/image_raw'
        decoded = [decode_compressed(message, 1 << 20) for _, message in images.recorded()]
    assert not images.faults and len(decoded) == 6
    for number, image in enumerate(decoded):
        assert np.abs(shown(image) - shown(picture(number))).max() < 1.5
