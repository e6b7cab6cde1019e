# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node that has seen random frames, and what tests of its clients wait for."""

from __future__ import annotations

from collections.abc import Callable
import threading
import time

from support.nodes.node_process import Camera, make_image, NodeProcess, SECOND

TIME = 60.0


class Scene:
    """A node that has seen four frames, and its camera."""

    def __init__(self, node: NodeProcess, camera: Camera) -> None:
        self.node, self.camera = node, camera

    def show(self, count: int) -> None:
        """Show some more frames, and wait until the node has taken them."""
        for _ in range(count):
            i = self.camera.published
            self.camera.publish(make_image((1000 + i) * SECOND, i))
        self.camera.wait_status(lambda status: status.frames_ingested == self.camera.published)


def threads() -> list[threading.Thread]:
    """Return the clients' threads that are alive."""
    return [each for each in threading.enumerate() if each.name == 'streamvlm_client']


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + TIME
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
