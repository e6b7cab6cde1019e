# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node with a store: frames with poses, answers, status, `~/forget`, and a second node."""

from __future__ import annotations

import json
import pathlib

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built: run make test')

from nav_msgs.msg import Odometry
from rosbags.rosbag2 import Reader
from support.nodes.node_process import Camera, make_image, NodeProcess, SECOND, wait_diagnostic

from streamvlm_ros.bags.bags import open_images
from streamvlm_ros.cli import main
from streamvlm_ros.client import InvalidRequestError, StreamClient
from streamvlm_ros.store.frames import FrameStore

FIRST = 1000


def publish(camera: Camera, first: int, last: int) -> None:
    """Publish frames by their numbers, one a second, and wait until they are in the stream."""
    for i in range(first, last):
        camera.publish(make_image((FIRST + i) * SECOND, i))
    expected = camera.published
    camera.wait_status(lambda status: status.frames_ingested == expected)


def odometry(seconds: float) -> Odometry:
    """A robot that drives along x, two metres a second."""
    message = Odometry()
    stamp_ns = round(seconds * SECOND)
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, SECOND)
    message.header.frame_id = 'odom'
    message.pose.pose.position.x = 2.0 * seconds
    message.pose.pose.orientation.w = 1.0
    return message


def test_what_a_node_has_seen_is_stored(
    domain: int,
    model_folder: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / 'store'
    settings = {
        'model': model_folder, 'sample_rate': 0.0, 'store_folder': folder,
        'store_still_seconds': 0.0, 'pose_topic': '/odom',
    }  # fmt: skip
    with NodeProcess(tmp_path, **settings) as node, Camera(node) as camera:
        camera.wait_ready()
        poses = camera.node.create_publisher(Odometry, '/odom', 100)
        assert camera.wait_until(lambda: poses.get_subscription_count() > 0, 20.0)
        for step in range(-2, 42):
            poses.publish(odometry(FIRST + step / 4 + 0.1))
        publish(camera, 0, 9)
        camera.wait_status(lambda status: status.stored_frames == 9 and status.store_bytes > 0)
        assert camera.ask('What is there?', max_new_tokens=4, timeout=30.0).success
        store = FrameStore(folder)
        moments = store.moments()
        assert [m.stamp_ns for m in moments] == [(FIRST + i) * SECOND for i in range(9)]
        for moment in moments:
            assert moment.frame_id == 'camera'
            assert moment.pose is not None and moment.pose.frame_id == 'odom'
            assert abs(moment.pose.position[0] - 2 * moment.stamp_ns / SECOND) < 1e-6
        with StreamClient('/streamvlm') as robot:
            with pytest.raises(InvalidRequestError, match='is after until'):
                robot.forget(1005 * SECOND, 1002 * SECOND)
            forgotten = robot.forget(1003 * SECOND, 1004 * SECOND)
            assert forgotten.frames == 2 and forgotten.bytes > 0
            assert robot.wait_for_status(lambda status: status.stored_frames == 7)
        assert main.main(['forget', '--until', '1001', '--json']) == 0
        assert json.loads(capsys.readouterr().out)['frames'] == 2
        assert main.main(['forget']) == 1
        assert '--all' in capsys.readouterr().err
        assert [m.stamp_ns // SECOND for m in store.moments()] == [1002, *range(1005, 1009)]
        values = {
            each.key: each.value
            for each in wait_diagnostic(
                camera,
                lambda message: any(
                    each.key == 'Stored frames' and each.value == '5'
                    for each in message.status[0].values
                ),
            ).values
        }
        assert values['Store: frames dropped'] == '0'
        assert node.stop() == 0
    # Its folder is a bag, with the node's own topics; the answer saw frames that are forgotten.
    with Reader(folder) as reader:
        counts = {c.topic: c.msgcount for c in reader.connections}
    assert counts == {
        '/image/compressed': 5,
        '/streamvlm/stored_pose': 5,
        '/streamvlm/stored_answers': 0,
    }
    with open_images(folder) as images:
        assert sum(1 for _ in images.recorded()) == 5


def test_two_nodes_on_one_store(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / 'store'
    # Both have the same folder: the namespace's is in it, given to the other as it is.
    given = {'model': model_folder, 'sample_rate': 0.0, 'store_still_seconds': 0.0}
    with (
        NodeProcess(tmp_path, store_folder=folder / 'two', **given) as one,
        NodeProcess(tmp_path, namespace='two', store_folder=folder, **given) as two,
        Camera(one) as camera,
        Camera(two, topic='/two/image', name='/two/streamvlm') as other,
    ):
        camera.wait_ready()
        other.wait_ready()
        for each in (camera, other):
            publish(each, 0, 2)
        statuses = [
            each.wait_status(lambda s: s.stored_frames == 2 or s.store_dropped > 0)
            for each in (camera, other)
        ]
        # Whichever came first has it; the other one streams and answers all the same.
        errors = [status.store_error for status in statuses]
        assert sorted(bool(error) for error in errors) == [False, True], errors
        assert 'another process' in max(errors)
        loser = (camera, other)[bool(errors[1])]
        assert loser.ask('What is there?', max_new_tokens=4, timeout=30.0).success
    stored = FrameStore(folder / 'two').moments()
    assert {moment.stamp_ns // SECOND for moment in stored} == {1000, 1001}
