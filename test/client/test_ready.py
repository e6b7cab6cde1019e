# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The step of launch files that waits for the node."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')


def test_ends_when_the_node_listens(
    domain: int, model_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    from support.nodes.node_process import Camera, NodeProcess, START_TIME

    # Before there is a node: it has to be waited for.
    command = [sys.executable, '-m', 'streamvlm_ros.client.ready', '/streamvlm']
    waiting = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        with NodeProcess(tmp_path, model=model_folder) as node:
            assert waiting.wait(START_TIME) == 0, node.log()
            assert 'Loaded' in node.log()
            with Camera(node) as camera:
                camera.wait_ready()
    finally:
        waiting.kill()
        waiting.communicate()
