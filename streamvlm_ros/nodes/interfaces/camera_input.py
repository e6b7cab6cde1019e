# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Subscribes to the camera topic while the node is active, and has its images decoded."""

from __future__ import annotations

from collections.abc import Callable
import functools
import time
from typing import Any, cast
import weakref

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSPolicyKind
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from rclpy.timer import Timer
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import CompressedImage, Image

from streamvlm_ros.engine import StreamWorker
from streamvlm_ros.nodes.faults import Faults
from streamvlm_ros.nodes.images.arrivals import Arrivals, Losses
from streamvlm_ros.nodes.images.compressed import decode_compressed
from streamvlm_ros.nodes.images.image_decoder import Decoder
from streamvlm_ros.nodes.images.image_qos import (
    AUTO,
    choose_reliability,
    event_callbacks,
    loss_sentences,
    message_facts,
    override_name,
    Reliability,
    takes_message_info,
)
from streamvlm_ros.nodes.images.images import decode_image, Frame
from streamvlm_ros.nodes.interfaces.submit import ParameterValue
from streamvlm_ros.nodes.parameters.declare import overrides
from streamvlm_ros.nodes.texts import sentence
from streamvlm_ros.stamps import to_nanoseconds

IMAGE = 'image'  # the topic that users remap
LOOK_PERIOD = 0.5  # seconds between two looks at the topic's publishers
FOLLOWING = 'Following the publishers of the images'


class CameraInput:
    """Subscribes to `image` or `image/compressed`. Called by the executor's thread only."""

    def __init__(self, node: Node, faults: Faults) -> None:
        """Do not subscribe yet; `faults` counts faults of the program."""
        self._node, self._faults = node, faults
        self._subscription: Subscription[Any] | None = None
        self._decoder: Decoder | None = None
        self._timer: Timer | None = None
        self._name = ''  # of the topic, before remapping; empty: not subscribed to
        self._arrivals = Arrivals(time.monotonic(), has_stamps=False)
        self._counted_for: weakref.ref[StreamWorker] | None = None
        self._reliability = Reliability(True)
        self._offers: list[tuple[str, Any]] = []
        self._has_told = self._is_overridden = False

    @property
    def publishers(self) -> list[str]:
        """Full names of the nodes that publish on the topic; empty while not subscribed.

        A node with two publishers is there twice.
        """
        return [name for name, _ in self._look_at_publishers()]

    @property
    def topic(self) -> str:
        """The topic's full name; empty while it is not subscribed to."""
        return str(self._node.resolve_topic_name(self._name)) if self._name else ''

    @property
    def delivery(self) -> str:
        """How the images are subscribed to; empty while they are not."""
        return self._reliability.name if self._name else ''

    def open(
        self,
        worker: StreamWorker,
        parameter: ParameterValue,
        store: Callable[[Frame, int, str], object],
    ) -> str:
        """Hand the images that come from now on to the worker.

        Args:
            worker: takes the frames.
            parameter: returns a parameter's value: of the transport and the bounds.
            store: is given every frame that the worker gets, with its stamp and frame_id.

        Returns:
            The topic's full name.

        """
        kind: Any = Image
        name, decode = IMAGE, cast(Callable[..., Frame], decode_image)
        if parameter('image_transport') == 'compressed':
            name = image_topics(self._node)[1]
            kind, decode = CompressedImage, decode_compressed
        self._name, self._kind, self._parameter = name, kind, parameter
        self._count_for(worker)
        self._has_told = False
        self._subscribe()
        self._decoder = Decoder(
            worker,
            functools.partial(
                decode,
                max_pixels=parameter('max_image_pixels'),
                depth_range=parameter('depth_range'),
            ),
            self._warn,
            self._faults,
            parameter('queue_bytes'),
            store,
        )
        self._timer = self._node.create_timer(
            LOOK_PERIOD,
            self._faults.shield(self._follow, FOLLOWING),
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        return self.topic

    def close(self) -> None:
        """Unsubscribe. May be called again."""
        self._name = ''
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None
        self._unsubscribe()
        if self._decoder is not None:
            self._decoder.close()
            self._decoder = None

    def losses(self) -> tuple[Losses, list[str]]:
        """Return what was lost in the last seconds, and a sentence about it.

        The log has the first such sentence too.
        """
        losses = self._arrivals.look(time.monotonic())
        if not self._name:
            return losses, []
        said = loss_sentences(
            losses, self.topic, self._reliability, get_rmw_implementation_identifier()
        )
        if said and not self._has_told:
            self._has_told = True
            self._node.get_logger().warning(' '.join(said))
        return losses, said

    def _count_for(self, worker: StreamWorker) -> None:
        """Count from 0 for a new worker, as it does itself, and go on for the same one."""
        if self._counted_for is not None and self._counted_for() is worker:
            self._arrivals.restart()
            return
        self._counted_for = weakref.ref(worker)
        has_stamps = self._parameter('time_source') == 'stamp'
        self._arrivals = Arrivals(time.monotonic(), has_stamps=has_stamps)

    def _subscribe(self) -> None:
        """Subscribe in the way that the publishers allow, unless the user has said how.

        Raises:
            Exception: of rclpy, about QoS overrides that it cannot use.

        """
        topic = self.topic
        self._offers = self._look_at_publishers()
        policies = [QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH]
        override = override_name(topic, 'reliability')
        given = overrides(self._node).get(override)
        self._is_overridden = given is not None
        if self._is_overridden:
            policies.append(QoSPolicyKind.RELIABILITY)
            why = f'the parameter {override} is {given}'
            self._reliability = Reliability(given == 'reliable', why)
        else:
            self._reliability = self._choose()
        self._arrivals.forget_numbers()
        follow = self._faults.shield(self._follow, FOLLOWING)
        self._subscription = self._node.create_subscription(
            self._kind,
            self._name,
            self._take_with_info if takes_message_info() else self._take,
            self._reliability.profile(),
            qos_overriding_options=QoSOverridingOptions(policies),
            event_callbacks=event_callbacks(self._arrivals.tell_lost, follow),
        )

    def _unsubscribe(self) -> None:
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _choose(self) -> Reliability:
        return choose_reliability(self._parameter('reliability'), self._offers)

    def _follow(self) -> None:
        """Look at the publishers, and subscribe again if they require another reliability."""
        if not self._name:
            return
        offers = self._look_at_publishers()
        if offers != self._offers:
            self._offers = offers
            self._arrivals.forget_numbers()
            self._tell_deaf()
        if self._is_overridden:
            return
        chosen = self._choose()
        changes = chosen.is_reliable != self._reliability.is_reliable
        if changes or self._subscription is None:
            self._unsubscribe()
            self._arrivals.restart()
            self._subscribe()
        self._reliability = chosen
        if changes:
            why = f' ({chosen.reason})' if chosen.reason else ''
            self._node.get_logger().info(
                f'Delivery of the images on {self.topic} is {chosen.name} from now on{why}.'
            )

    def _tell_deaf(self) -> None:
        """Log whose images cannot be received because a parameter asks for reliable delivery."""
        if not (self._reliability.is_reliable and self._reliability.reason):
            return
        fitting = choose_reliability(AUTO, self._offers)
        if not fitting.is_reliable:
            self._node.get_logger().warning(
                f'Best effort on {self.topic} is {fitting.reason}, and no image comes from it, '
                f'because {self._reliability.reason}; remove that setting to receive its images.'
            )

    def _look_at_publishers(self) -> list[tuple[str, Any]]:
        if not self._name:
            return []
        return sorted(
            (f'{info.node_namespace.rstrip("/")}/{info.node_name}', info.qos_profile.reliability)
            for info in self._node.get_publishers_info_by_topic(self.topic)
        )

    def _take_with_info(self, msg: Any, info: Any) -> None:
        number, publisher = message_facts(info)
        # Message numbers of several publishers that cannot be distinguished say nothing.
        self._count(msg, number if publisher or len(self._offers) == 1 else None, publisher)

    def _take(self, msg: Any) -> None:
        self._count(msg, None, b'')

    def _count(self, msg: Any, number: int | None, publisher: bytes) -> None:
        stamp = to_nanoseconds(msg.header.stamp)
        self._arrivals.take(stamp, number, publisher, time.monotonic())
        if self._decoder is not None:
            self._decoder.put(msg)

    def _warn(self, fault: str) -> None:
        self._node.get_logger().warning(sentence(fault), throttle_duration_sec=5.0)


def image_topics(node: Node) -> tuple[str, str]:
    """Return the full names of a node's image topics, remapped: raw, and compressed."""
    raw = str(node.resolve_topic_name(IMAGE))
    # As image_transport does it: the name of the raw topic, remapped, and then the suffix.
    return raw, str(node.resolve_topic_name(f'{raw}/compressed'))
