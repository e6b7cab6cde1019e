# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The pose of a frame is between those of the topic, as far as they are near."""

from __future__ import annotations

import math
import pathlib

import pytest
from support.store.scenes import picture, settings, wait

from streamvlm_ros.stamps import NANOSECONDS
from streamvlm_ros.store.frames import FrameStore
from streamvlm_ros.store.moments import Pose
from streamvlm_ros.store.poses import between, PoseTrack
from streamvlm_ros.store.recorder import Recorder

RADIUS, TURN = 2.0, 0.5  # metres; radians a second
RATE = 10  # poses a second


def on_circle(seconds: float) -> Pose:
    """A robot that drives along a circle and looks ahead."""
    angle = TURN * seconds
    return Pose(
        (RADIUS * math.cos(angle), RADIUS * math.sin(angle), 0.0),
        (0.0, 0.0, math.sin(angle / 2), math.cos(angle / 2)),
        'map',
    )


def angle_between(one: Pose, other: Pose) -> float:
    cosine = abs(sum(a * b for a, b in zip(one.orientation, other.orientation)))
    return 2 * math.acos(min(1.0, cosine))


def test_a_pose_is_within_the_error_of_interpolation():
    track = PoseTrack()
    for step in range(200):
        track.add(step * NANOSECONDS // RATE, on_circle(step / RATE))
    # The height of the arc above its chord: h^2 / 8 times the acceleration v^2 / r.
    most = (1 / RATE) ** 2 / 8 * RADIUS * TURN**2 * 1.01
    worst = 0.0
    for step in range(1900):
        pose = track.at(step * NANOSECONDS // 100)
        assert pose is not None and pose.frame_id == 'map'
        true = on_circle(step / 100)
        worst = max(worst, math.dist(pose.position, true.position))
        assert angle_between(pose, true) < 1e-6  # slerp is exact for a constant turn
    assert most / 2 < worst <= most


def test_the_shorter_way_is_taken():
    start = Pose((0, 0, 0), (0.0, 0.0, math.sin(1.5), math.cos(1.5)), 'map')
    end = Pose((0, 0, 0), (-0.0, -0.0, -math.sin(1.6), -math.cos(1.6)), 'map')
    middle = between(start, end, 0.5)
    assert (
        angle_between(middle, Pose((0, 0, 0), (0, 0, math.sin(1.55), math.cos(1.55)), '')) < 1e-6
    )
    nothing = Pose((0, 0, 0), (0.0, 0.0, 0.0, 0.0), 'map')
    assert between(nothing, nothing, 0.5).orientation == (0.0, 0.0, 0.0, 1.0)
    half_turn = Pose((0, 0, 0), (0.0, 0.0, 1.0, 0.0), 'map')
    assert math.isclose(math.hypot(*between(nothing, half_turn, 0.3).orientation), 1.0)


@pytest.mark.parametrize(
    'stamps, asked',
    [
        ([0, 2.5], 1.0),  # a gap
        ([1.0, 1.5], 0.9),  # before the first
        ([1.0, 1.5], 1.6),  # after the last
        ([], 1.0),
    ],
)
def test_where_none_is_near_there_is_none(stamps: list[float], asked: float):
    track = PoseTrack()
    for seconds in stamps:
        track.add(int(seconds * NANOSECONDS), on_circle(seconds))
    assert track.at(int(asked * NANOSECONDS)) is None


def test_stamps_that_go_back_begin_anew_and_late_ones_are_left_out():
    track = PoseTrack()
    for seconds in (100.0, 100.5, 100.4, 3.0, 3.5):
        track.add(int(seconds * NANOSECONDS), on_circle(seconds))
    assert track.at(int(100.2 * NANOSECONDS)) is None
    pose = track.at(int(3.2 * NANOSECONDS))
    assert pose is not None and math.dist(pose.position, on_circle(3.2).position) < 0.05
    other = Pose((0, 0, 0), (0, 0, 0, 1), 'odom')
    track.add(4 * NANOSECONDS, other)
    assert track.at(int(3.8 * NANOSECONDS)) is None and track.at(4 * NANOSECONDS) == other


def test_frames_wait_for_the_pose_after_them(tmp_path: pathlib.Path):
    track = PoseTrack()
    track.add(0, on_circle(0))
    recorder = Recorder(settings(tmp_path / 'store'), poses=track)
    recorder.put(picture(1), NANOSECONDS // 4)
    track.add(NANOSECONDS // 2, on_circle(0.5))
    wait(recorder)
    recorder.put(picture(2), 20 * NANOSECONDS)  # nothing comes for this one
    wait(recorder)
    assert recorder.close()
    # Read from the files, not from what the writer knows.
    (tmp_path / 'store' / 'index.sqlite').unlink()
    first, second = FrameStore(tmp_path / 'store').moments()
    assert first.pose is not None and first.pose.frame_id == 'map'
    assert math.dist(first.pose.position, on_circle(0.25).position) < 0.02
    assert second.pose is None
