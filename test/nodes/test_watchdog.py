# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a running node says in /diagnostics: a thread that is held up, publishers that are two."""

from __future__ import annotations

from collections.abc import Callable
import pathlib
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built: run make test')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import Image
from support.nodes.node_process import Camera, make_image, NodeProcess, SECOND

TIME = 60.0


def test_a_held_thread_and_two_publishers(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """An ERROR that says what the thread is doing, and its end; both publishers by their names."""
    gate = tmp_path / 'gate'
    settings: dict[str, Any] = {'model': model_folder, 'watchdog': 1.0, 'sample_rate': 0.0}
    start = NodeProcess(tmp_path, program=('-m', 'support.nodes.held_node', gate), **settings)
    with start as node, Camera(node) as camera:
        camera.wait_ready()
        found: list[DiagnosticStatus] = []
        camera.node.create_subscription(
            DiagnosticArray, '/diagnostics', lambda message: found.extend(message.status), 10
        )

        def said(level: bytes, *words: str) -> Callable[[], bool]:
            def seen() -> bool:
                return any(
                    each.level == level and all(word in each.message for word in words)
                    for each in found
                )

            found.clear()
            return seen

        gate.touch()
        camera.publish(make_image(1000 * SECOND))
        held = said(DiagnosticStatus.ERROR, 'watchdog: 1 s', 'taking a frame')
        assert camera.wait_until(held, TIME), found[-1:]
        gate.unlink()
        camera.wait_status(lambda status: status.frames_ingested == 1)
        assert camera.wait_until(said(DiagnosticStatus.OK), TIME), found[-1:]
        second = camera.node.create_publisher(Image, '/image', 10)
        name = camera.node.get_fully_qualified_name()
        both = said(DiagnosticStatus.WARN, 'Two publishers on /image', name)
        assert camera.wait_until(both, TIME), found[-1:]
        camera.wait_status(lambda status: status.publishers == 2)
        camera.node.destroy_publisher(second)
        camera.wait_status(lambda status: status.publishers == 1)
