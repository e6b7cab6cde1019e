# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The messages of the store's bag: their types, their definitions, and their bytes (CDR).

Only types that every ROS 2 has, so that any machine plays the bag: an answer is a
std_msgs/String with a JSON object.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
from rosbags.typesys import get_typestore, Stores

from streamvlm_ros.stamps import NANOSECONDS, to_nanoseconds
from streamvlm_ros.store.moments import Pose, StoredAnswer

IMAGE = 'sensor_msgs/msg/CompressedImage'
POSE = 'geometry_msgs/msg/PoseStamped'
TEXT = 'std_msgs/msg/String'
# These three are the same in every distribution.
_TYPES = get_typestore(Stores.ROS2_HUMBLE)


@dataclasses.dataclass(frozen=True)
class Topics:
    """On which topics the store's bag has its messages.

    Attributes:
        image: of the pictures; it ends in /compressed, as image_transport names it.
        pose: of the poses of these.
        answers: of the answers, as JSON.

    """

    image: str = '/camera/image_raw/compressed'
    pose: str = '/streamvlm/stored_pose'
    answers: str = '/streamvlm/stored_answers'

    def types(self) -> tuple[tuple[str, str], ...]:
        """Return each topic with its type, in the order of the channels of a file."""
        return (self.image, IMAGE), (self.pose, POSE), (self.answers, TEXT)


def definition(kind: str) -> str:
    """Return the text of a type's definition, with those of the types in it."""
    return _TYPES.generate_msgdef(kind, ros_version=2)[0]


def digest(kind: str) -> str:
    """Return the hash of a type, as rosbag2 writes it (RIHS01)."""
    return _TYPES.hash_rihs01(kind)


def image_bytes(stamp_ns: int, frame_id: str, jpeg: bytes) -> bytes:
    """Return a JPEG as a serialized message."""
    data = np.frombuffer(jpeg, np.uint8)
    message = _TYPES.types[IMAGE](header=_header(stamp_ns, frame_id), format='jpeg', data=data)
    return bytes(_TYPES.serialize_cdr(message, IMAGE))


def read_image(data: bytes) -> tuple[int, str, np.ndarray]:
    """Return stamp, frame_id and JPEG (uint8 [n]) of a serialized message.

    Raises:
        Exception: whatever damaged bytes cause.

    """
    message: Any = _TYPES.deserialize_cdr(data, IMAGE)
    return to_nanoseconds(message.header.stamp), message.header.frame_id, message.data


def pose_bytes(stamp_ns: int, pose: Pose) -> bytes:
    """Return a pose as a serialized message."""
    types = _TYPES.types
    position = types['geometry_msgs/msg/Point'](*pose.position)
    orientation = types['geometry_msgs/msg/Quaternion'](*pose.orientation)
    message = types[POSE](
        header=_header(stamp_ns, pose.frame_id),
        pose=types['geometry_msgs/msg/Pose'](position=position, orientation=orientation),
    )
    return bytes(_TYPES.serialize_cdr(message, POSE))


def read_pose(data: bytes) -> tuple[int, Pose]:
    """Return stamp and pose of a serialized message; raises as `read_image`."""
    message: Any = _TYPES.deserialize_cdr(data, POSE)
    at, turned = message.pose.position, message.pose.orientation
    pose = Pose(
        (at.x, at.y, at.z), (turned.x, turned.y, turned.z, turned.w), message.header.frame_id
    )
    return to_nanoseconds(message.header.stamp), pose


def answer_bytes(answer: StoredAnswer) -> bytes:
    """Return an answer as a serialized message."""
    content = {**json.loads(answer.text), 'first_ns': answer.first_ns, 'last_ns': answer.last_ns}
    message = _TYPES.types[TEXT](data=json.dumps(content, ensure_ascii=False))
    return bytes(_TYPES.serialize_cdr(message, TEXT))


def read_answer(data: bytes) -> StoredAnswer:
    """Return the answer of a serialized message; raises as `read_image`."""
    message: Any = _TYPES.deserialize_cdr(data, TEXT)
    content = json.loads(message.data)
    return StoredAnswer(message.data, int(content['first_ns']), int(content['last_ns']))


def _header(stamp_ns: int, frame_id: str) -> Any:
    seconds, rest = divmod(stamp_ns, NANOSECONDS)
    stamp = _TYPES.types['builtin_interfaces/msg/Time'](seconds, rest)
    return _TYPES.types['std_msgs/msg/Header'](stamp, frame_id)
