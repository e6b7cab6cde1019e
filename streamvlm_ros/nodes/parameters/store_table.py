# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of a stream's store, and of the poses of its frames. No ROS here."""

from __future__ import annotations

import pathlib

from streamvlm_ros.nodes.parameters.parameter import Parameter
from streamvlm_ros.store.settings import LEAST_BYTES, StoreSettings

_STORE = StoreSettings(pathlib.Path())
POSE_TYPES = {
    'odometry': 'nav_msgs/msg/Odometry',
    'pose': 'geometry_msgs/msg/PoseStamped',
    'pose_with_covariance': 'geometry_msgs/msg/PoseWithCovarianceStamped',
}

STORE_PARAMETERS = (
    Parameter(
        'store_folder',
        '',
        'Keep the frames that are sampled, their poses and the answers in this folder, as a bag; '
        'it is made if it is not there. With a namespace, in a folder of that name in it. Empty: '
        'no picture is written anywhere.',
    ),
    Parameter(
        'store_max_bytes',
        _STORE.max_bytes,
        'Bytes of the files of the store; the oldest ones are removed.',
        minimum=LEAST_BYTES,
        maximum=1 << 50,
    ),
    Parameter(
        'store_max_age',
        _STORE.max_age,
        'Seconds that a frame is kept in the store; 0: as long as store_max_bytes has room.',
        minimum=0.0,
        maximum=1e9,
    ),
    Parameter(
        'store_jpeg_quality',
        _STORE.jpeg_quality,
        'Quality of the JPEGs in the store.',
        minimum=1,
        maximum=100,
    ),
    Parameter(
        'store_max_pixels',
        _STORE.max_pixels,
        'Larger frames are reduced to this many pixels in the store; 0: to those that the model '
        'sees.',
        minimum=0,
        maximum=1 << 26,
    ),
    Parameter(
        'store_still_seconds',
        _STORE.still_seconds,
        'A frame that is nearly equal to the last stored one is stored when so many seconds have '
        'passed; 0: every frame is stored.',
        minimum=0.0,
        maximum=86400.0,
    ),
    Parameter(
        'pose_topic',
        '',
        "Topic of the robot's poses, which are stored with the frames: nav_msgs/Odometry, "
        'geometry_msgs/PoseStamped or geometry_msgs/PoseWithCovarianceStamped. Empty: none.',
    ),
    Parameter(
        'pose_type',
        'auto',
        "Type of pose_topic; 'auto': as its publishers have it.",
        choices=('auto', *POSE_TYPES),
    ),
    Parameter(
        'map_frame',
        '',
        "Store the camera's pose in this frame, as tf2 knows it. It needs tf2_ros, which the "
        'wheels of PyPI do not have; without it give pose_topic. Empty: off.',
    ),
)
