# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Poses for the store: of a topic whose type is found in the graph, or of tf2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.time import Time
from rclpy.timer import Timer

from streamvlm_ros.nodes.faults import Faults
from streamvlm_ros.nodes.parameters.store_table import POSE_TYPES
from streamvlm_ros.stamps import to_nanoseconds
from streamvlm_ros.store.moments import Pose
from streamvlm_ros.store.poses import PoseTrack

LOOK_PERIOD = 0.5  # seconds between two looks at the topic's publishers
DEPTH = 100  # poses that may wait: odometry may come at 200 Hz
_KINDS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    'nav_msgs/msg/Odometry': (Odometry, lambda msg: msg.pose.pose),
    'geometry_msgs/msg/PoseStamped': (PoseStamped, lambda msg: msg.pose),
    'geometry_msgs/msg/PoseWithCovarianceStamped': (
        PoseWithCovarianceStamped,
        lambda msg: msg.pose.pose,
    ),
}


class PoseInput:
    """Subscribes to a topic of poses and remembers the newest ones.

    Attributes:
        track: the poses.
        complaint: what is wrong with the topic; '': nothing.

    """

    def __init__(self, node: Node, topic: str, kind: str, faults: Faults) -> None:
        """Subscribe, now or as soon as a publisher says the type.

        Args:
            node: subscribes.
            topic: of the poses.
            kind: a key of `POSE_TYPES`, or 'auto'.
            faults: counts faults of the program.

        """
        self.track = PoseTrack()
        self.complaint = ''
        self._node, self._topic = node, topic
        self._take_safely = faults.shield(self._take, 'Taking a pose')
        self._read: Callable[[Any], Any] = lambda msg: msg
        self._subscription: Subscription[Any] | None = None
        self._timer: Timer | None = None
        if kind in POSE_TYPES:
            self._subscribe(POSE_TYPES[kind])
            return
        self._timer = node.create_timer(
            LOOK_PERIOD,
            faults.shield(self._look, 'Looking for the type of the poses'),
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )

    def close(self) -> None:
        """Unsubscribe."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _look(self) -> None:
        """Take the type that a publisher has."""
        publishers = self._node.get_publishers_info_by_topic(
            self._node.resolve_topic_name(self._topic)
        )
        types = {info.topic_type for info in publishers}
        known = sorted(types & _KINDS.keys())
        self.complaint = ''
        if known:
            if self._timer is not None:
                self._node.destroy_timer(self._timer)
                self._timer = None
            self._subscribe(known[0])
        elif types:
            self.complaint = (
                f'{self._topic} (pose_topic) has the type {sorted(types)[0]}; poses are taken '
                f'from {", ".join(_KINDS)}.'
            )
        else:
            self.complaint = f'Nobody publishes {self._topic} (pose_topic) yet.'

    def _subscribe(self, kind: str) -> None:
        message, self._read = _KINDS[kind]
        # Best effort matches every publisher.
        profile = QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._subscription = self._node.create_subscription(
            message, self._topic, self._take_safely, profile
        )

    def _take(self, msg: Any) -> None:
        pose = self._read(msg)
        at, turned = pose.position, pose.orientation
        self.track.add(
            to_nanoseconds(msg.header.stamp),
            Pose(
                (at.x, at.y, at.z),
                (turned.x, turned.y, turned.z, turned.w),
                msg.header.frame_id,
            ),
        )


class TransformPoses:
    """The pose of a camera's frame in the map, as tf2 has it; a `PoseSource`."""

    def __init__(self, transforms: Any, map_frame: str) -> None:
        """Ask a tf2 buffer (`distributions.listen_to_transforms`)."""
        self._transforms, self._map_frame = transforms, map_frame

    def covers(self, stamp_ns: int, frame_id: str) -> bool:
        """Tell whether the transform is known at this stamp."""
        stamp = Time(nanoseconds=stamp_ns)
        return bool(self._transforms.can_transform(self._map_frame, frame_id, stamp))

    def at(self, stamp_ns: int, frame_id: str) -> Pose | None:
        """Return the pose of a camera at a stamp, which tf2 interpolates; None: not known."""
        if not self.covers(stamp_ns, frame_id):
            return None
        stamp = Time(nanoseconds=stamp_ns)
        found = self._transforms.lookup_transform(self._map_frame, frame_id, stamp).transform
        at, turned = found.translation, found.rotation
        return Pose((at.x, at.y, at.z), (turned.x, turned.y, turned.z, turned.w), self._map_frame)
