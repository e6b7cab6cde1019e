# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bags of any messages in any storage, as other recorders write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import pathlib
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores

STORE = get_typestore(Stores.ROS2_HUMBLE)
SECOND = 1_000_000_000


def compressed_image(
    frame: np.ndarray, seconds: float, ending: str = '.png', form: str | None = None
) -> Any:
    """Return a CompressedImage of an RGB frame, as image_transport writes it."""
    data = cv2.imencode(ending, frame[..., ::-1])[1].reshape(-1)
    kind = {'.png': 'png', '.jpg': 'jpeg'}[ending]
    return STORE.types['sensor_msgs/msg/CompressedImage'](
        header=_header(seconds), format=form or f'rgb8; {kind} compressed bgr8', data=data
    )


def raw_image(frame: np.ndarray, seconds: float) -> Any:
    """Return an Image of an RGB frame."""
    height, width, _ = frame.shape
    return STORE.types['sensor_msgs/msg/Image'](
        header=_header(seconds), height=height, width=width, encoding='rgb8', is_bigendian=0,
        step=3 * width, data=np.ascontiguousarray(frame).reshape(-1),
    )  # fmt: skip


def _header(seconds: float) -> Any:
    stamp = STORE.types['builtin_interfaces/msg/Time'](*divmod(round(seconds * SECOND), SECOND))
    return STORE.types['std_msgs/msg/Header'](stamp, 'camera')


def write_messages(
    folder: pathlib.Path, topics: Mapping[str, Sequence[Any]], storage: str = 'mcap'
) -> None:
    """Write a bag of stamped messages; they are recorded when their stamps say."""
    plugin = StoragePlugin[storage.upper()]
    with Writer(folder, version=9, storage_plugin=plugin) as writer:
        for topic, messages in topics.items():
            kind = messages[0].__msgtype__
            connection = writer.add_connection(topic, kind, typestore=STORE)
            for message in messages:
                stamp = message.header.stamp
                time = stamp.sec * SECOND + stamp.nanosec
                writer.write(connection, time, STORE.serialize_cdr(message, kind))
