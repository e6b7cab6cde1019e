# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A streamvlm node as a real process, and a camera and client to talk to it over real DDS."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import os
import pathlib
import signal
import subprocess
import sys
from types import TracebackType
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import numpy as np
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from support.nodes.raw_client import Client

from streamvlm_ros.msg import StreamStatus

START_TIME = 90.0  # seconds: importing torch on a busy machine
TIME = 20.0  # seconds for anything else
SECOND = 1_000_000_000
QUEUE = 200


class NodeProcess:
    """Starts a node; use it in a `with` block, at the end of which no process is left."""

    def __init__(
        self,
        folder: pathlib.Path,
        file: pathlib.Path | None = None,
        *,
        namespace: str = '',
        cameras: Sequence[str] = (),
        program: Sequence[object] = ('-m', 'streamvlm_ros.nodes.streamvlm_node'),
        reliability: str = 'reliable',
        environment: Mapping[str, str] | None = None,
        **parameters: Any,
    ) -> None:
        """Start with some parameters, and those of a YAML file; `folder` takes the log.

        `cameras` are namespaces below the node's in which images come, if they do not come in its
        own. A file that is given has to name them too. The images are delivered with
        `reliability`, or, where that is empty, as the node decides. `environment`: None is this
        process's.
        """
        self.log_file = folder / f'{namespace}node.log'
        command = [sys.executable, *map(str, program), '--ros-args']
        # Nothing that a test publishes may get lost on the way.
        parts = [(namespace, name, 'image') for name in cameras or ['']]
        topics = [''.join(f'/{part}' for part in each if part) for each in parts]
        overrides = [
            f'qos_overrides.{topic}{suffix}.subscription'
            for topic in topics
            for suffix in ('', '/compressed')
        ]
        given = {
            **({'cameras': ', '.join(cameras)} if cameras and file is None else {}),
            **{f'{name}.reliability': reliability for name in overrides if reliability},
            **{f'{name}.depth': QUEUE for name in overrides},
            'stale_after': 0.0,  # a slow machine must not change what a test sees
            **parameters,
        }
        if namespace:
            command += ['-r', f'__ns:=/{namespace}']
        if file is not None:
            command += ['--params-file', str(file)]
        for name, value in given.items():
            command += ['-p', f'{name}:={value}']
        with open(self.log_file, 'wb') as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, env=environment
            )

    def log(self) -> str:
        """Return what the node has printed."""
        return self.log_file.read_text(errors='replace')

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(TIME)

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert not processes_of_session(self.process.pid)


def processes_of_session(leader: int) -> list[int]:
    """Return the processes that are alive in a session."""
    found = []
    for entry in pathlib.Path('/proc').iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / 'stat').read_text().rpartition(')')[2].split()
            except OSError:
                continue
            if int(fields[3]) == leader and fields[0] != 'Z':
                found.append(int(entry.name))
    return found


class Camera(Client):
    """A client that publishes images too."""

    def __init__(
        self,
        node: NodeProcess | None = None,
        *,
        topic: str = '/image',
        name: str = '/streamvlm',
        kind: Any = Image,
    ) -> None:
        super().__init__(name, domain_id=int(os.environ['ROS_DOMAIN_ID']))
        self._node = node
        self.published = 0
        self._publisher = self.node.create_publisher(kind, topic, QoSProfile(depth=QUEUE))

    def wait_ready(self) -> None:
        """Wait until the node has loaded its model and hears this camera."""

        def is_ready() -> bool:
            if self._node is not None and self._node.process.poll() is not None:
                raise AssertionError(f'the node has ended:\n{self._node.log()}')
            # The subscription of a killed node counts for a while: its successor has to be active.
            active = (
                self.status is not None
                and StreamStatus.LOADING < self.status.state < StreamStatus.INACTIVE
            )
            return active and self.subscribers > 0

        assert self.wait_until(is_ready, START_TIME), 'the node is not ready'

    @property
    def subscribers(self) -> int:
        """How many hear this camera."""
        return int(self._publisher.get_subscription_count())

    def publish(self, image: Any) -> None:
        """Publish an image."""
        self.published += 1
        self._publisher.publish(image)

    def wait_status(self, condition: Any) -> StreamStatus:
        """Wait for a status that meets a condition, and return it."""
        seen: list[StreamStatus] = []

        def met() -> bool:
            if self.status is not None and condition(self.status):
                seen.append(self.status)
            return bool(seen)

        assert self.wait_until(met, TIME), f'it stays at {self.status}'
        return seen[0]


def wait_diagnostic(
    camera: Client, condition: Callable[[DiagnosticArray], bool]
) -> DiagnosticStatus:
    """Wait for a message of this client's node that meets a condition."""
    name = f'{camera.target.lstrip("/")}: stream'
    found: list[DiagnosticArray] = []

    def take(message: DiagnosticArray) -> None:
        if message.status[0].name == name and condition(message):
            found.append(message)

    subscription = camera.node.create_subscription(DiagnosticArray, '/diagnostics', take, 10)
    assert camera.wait_until(lambda: bool(found), TIME)
    camera.node.destroy_subscription(subscription)
    return found[0].status[0]


def make_image(stamp_ns: int, seed: int = 0, *, width: int = 84, height: int = 56) -> Image:
    """Return a random rgb8 image."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return image_of(pixels, stamp_ns)


def image_of(frame: np.ndarray, stamp_ns: int) -> Image:
    """Return an RGB frame, uint8 [height, width, 3], as a message."""
    height, width, _ = frame.shape
    image = Image(height=height, width=width, encoding='rgb8', step=3 * width)
    image.header.stamp.sec, image.header.stamp.nanosec = divmod(stamp_ns, SECOND)
    image.header.frame_id = 'camera'
    image.data.frombytes(np.ascontiguousarray(frame).tobytes())
    return image
