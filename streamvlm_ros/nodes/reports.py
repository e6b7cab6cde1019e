# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the node tells about itself: `~/status` and `/diagnostics`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import dataclasses
import socket

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from streamvlm_ros.engine import device_bytes, WorkerStatus
from streamvlm_ros.msg import StreamStatus
from streamvlm_ros.nodes import diagnostics
from streamvlm_ros.nodes.faults import Faults
from streamvlm_ros.nodes.images.arrivals import Losses, NO_LOSSES
from streamvlm_ros.nodes.interfaces import messages
from streamvlm_ros.nodes.texts import sentence
from streamvlm_ros.store.recorder import StoreStatus

PERIOD = 1.0  # seconds
HOST = socket.gethostname()
NO_STORE = StoreStatus()


@dataclasses.dataclass(frozen=True)
class Condition:
    """The node as it is now.

    Attributes:
        status: of its stream; None: no stream.
        device: of the model, or where it will be loaded.
        idle: why no frame is taken and no question answered; empty: the node is active.
        loading: the model is being loaded.
        fault: why it could not be loaded the last time.
        watchdog: seconds in which the model's thread must come round.
        topic: of the images; empty: not subscribed.
        publishers: full names of the nodes that publish on it.
        delivery: reliable or best effort; empty: no topic is subscribed to.
        losses: images that came and were lost in the last seconds.
        complaints: sentences about what was lost, with what to do.
        store: what the store of frames tells.

    """

    status: WorkerStatus | None
    device: str
    idle: str
    loading: bool = False
    fault: str = ''
    watchdog: float = float('inf')
    topic: str = ''
    publishers: Sequence[str] = ()
    delivery: str = ''
    losses: Losses = NO_LOSSES
    complaints: Sequence[str] = ()
    store: StoreStatus = NO_STORE


class Reports:
    """Publishes both once a second, and the status when it has changed in kind."""

    def __init__(self, node: Node, condition: Callable[[], Condition], faults: Faults) -> None:
        """Begin to publish what `condition` returns; `faults` counts what fails in doing so."""
        self._node = node
        self._condition = condition
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._status = node.create_publisher(StreamStatus, '~/status', latched)
        self._diagnostics = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._published = (0, -1, '')
        self._before: WorkerStatus | None = None
        # Steady: it continues while simulated time stands still or jumps.
        publish = faults.shield(self._publish, 'Publishing the status')
        node.create_timer(PERIOD, publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def publish_change(self) -> None:
        """Publish the status if state, epoch or last error differ from the last one."""
        message = status_message(self._condition())
        if _kind(message) != self._published:
            self._publish_status(message)

    def _publish(self) -> None:
        condition = self._condition()
        self._publish_status(status_message(condition))
        entry = self._diagnostic(condition)
        stamp = self._node.get_clock().now().to_msg()
        self._diagnostics.publish(diagnostics.diagnostic_array([entry], stamp))

    def _publish_status(self, message: StreamStatus) -> None:
        self._published = _kind(message)
        self._status.publish(message)

    def _diagnostic(self, condition: Condition) -> DiagnosticStatus:
        name = self._node.get_fully_qualified_name()
        hardware = diagnostics.hardware_id(HOST, condition.device, name)
        before, self._before = self._before, condition.status
        if condition.status is None or condition.idle:
            entry = diagnostics.idle_diagnostic(name, hardware, condition.idle)
            if condition.fault:
                entry.level = DiagnosticStatus.ERROR
                entry.message = sentence(condition.fault)
            return entry
        return diagnostics.stream_diagnostic(
            name,
            hardware,
            condition.status,
            before,
            gpu_bytes=device_bytes(condition.device),
            watchdog=condition.watchdog,
            topic=condition.topic,
            publishers=condition.publishers,
            delivery=condition.delivery,
            losses=condition.losses,
            complaints=condition.complaints,
            store=condition.store,
        )


def status_message(condition: Condition) -> StreamStatus:
    """Return the message for `~/status`."""
    if condition.status is None:
        message = messages.idle_status(condition.fault)
    else:
        message = messages.status_message(
            condition.status, len(condition.publishers), condition.losses.total
        )
    messages.fill_store(message, condition.store)
    if condition.idle:
        loading = condition.loading
        message.state = StreamStatus.LOADING if loading else StreamStatus.INACTIVE
    return message


def _kind(message: StreamStatus) -> tuple[int, int, str]:
    return message.state, message.epoch, message.last_error
