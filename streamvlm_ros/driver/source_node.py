# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node that publishes a source's frames on `image`, and its health on `/diagnostics`."""

from __future__ import annotations

import dataclasses
import threading

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.logging import get_logger
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from streamvlm_ros.errors import SourceError
from streamvlm_ros.nodes.texts import sentence
from streamvlm_ros.sources import Source, SourceStatus
from streamvlm_ros.sources.video import Picture
from streamvlm_ros.stamps import NANOSECONDS

NAME = 'streamvlm_source'
FRAME_ID = 'camera'
QUEUE = 10  # images
PERIOD = 1.0  # seconds between two reports
LOOK_TIME = 0.05  # seconds between two looks whether somebody listens
# The subscriber discovers the publisher a moment later than the reverse.
SETTLE_TIME = 0.5  # seconds
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class SourceNode:
    """Publishes from the first subscriber on, in a thread of its own.

    Attributes:
        node: of ROS; an executor has to run it for its reports.

    """

    def __init__(self, source: Source) -> None:
        """Create the node, and begin to wait for a subscriber; the source is closed with it."""
        self.node = rclpy.create_node(NAME)
        self._source, self._over = source, threading.Event()
        self._before = source.status()
        # Reliable: what is published in the same process need not be lost.
        self._images = self.node.create_publisher(Image, 'image', QoSProfile(depth=QUEUE))
        self._reports = self.node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self.node.create_timer(PERIOD, self._report, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._thread = threading.Thread(target=self._play, name='publishing', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Publish no more, and close the source."""
        self._over.set()
        self._source.close()
        self._thread.join()

    def destroy(self) -> None:
        """Leave the graph; no executor runs the node any more."""
        self.node.destroy_node()

    def _play(self) -> None:
        while not self._images.get_subscription_count():
            if self._over.wait(LOOK_TIME):
                return
        if self._over.wait(SETTLE_TIME):
            return
        log = self.node.get_logger()
        try:
            for stamp_ns, picture in self._source:
                self._images.publish(image_of(stamp_ns, picture))
                if self._over.is_set():
                    return
        except SourceError as error:
            log.error(sentence(str(error)))
        frames = self._source.status().frames
        if not self._over.is_set():
            log.info(
                f'{sentence(self._source.name)} has ended after {frames} frames; questions are '
                'answered until the node is stopped.'
            )

    def _report(self) -> None:
        status, before = self._source.status(), self._before
        self._before = status
        entry = source_diagnostic(self._source.name, status, before)
        message = DiagnosticArray(status=[entry])
        message.header.stamp = self.node.get_clock().now().to_msg()
        self._reports.publish(message)


def source_diagnostic(name: str, status: SourceStatus, before: SourceStatus) -> DiagnosticStatus:
    """Return a source's entry for `/diagnostics`.

    Args:
        name: of the source, without its password.
        status: as it is now.
        before: as it was in the last report.

    """
    level, said = (
        OK,
        {'open': 'Waiting for a subscriber.', 'ended': 'The source has ended.'}.get(
            status.state, 'Running.'
        ),
    )
    if status.state == 'lost':
        level, said = ERROR, f'The source is lost and opened again and again: {status.last_fault}'
    elif status.reconnects > before.reconnects:
        level, said = WARN, f'The source was lost and is back: {status.last_fault}'
    elif status.broken > before.broken:
        lost = status.broken - before.broken
        level, said = WARN, f'{lost} frames could not be decoded: {status.last_fault}'
    elif status.dropped > before.dropped:
        lost = status.dropped - before.dropped
        level, said = WARN, f'{lost} frames were dropped: the machine is too slow for the source.'
    shown = {
        key.capitalize().replace('_', ' '): f'{value}'
        for key, value in dataclasses.asdict(status).items()
    }
    return DiagnosticStatus(
        level=level,
        name=f'{NAME}: source',
        hardware_id=sentence(name),
        message=sentence(said),
        values=[KeyValue(key=key, value=sentence(value)) for key, value in shown.items()],
    )


def image_of(stamp_ns: int, picture: Picture) -> Image:
    """Return a frame, RGB uint8 [height, width, 3], as a message."""
    height, width, _ = picture.shape
    image = Image(height=height, width=width, encoding='rgb8', step=3 * width)
    image.header.frame_id = FRAME_ID
    image.header.stamp.sec, image.header.stamp.nanosec = divmod(stamp_ns, NANOSECONDS)
    image.data.frombytes(picture.tobytes())
    return image


def log_event(said: str) -> None:
    """Log what a source tells, in any thread."""
    get_logger(NAME).warning(sentence(said))
