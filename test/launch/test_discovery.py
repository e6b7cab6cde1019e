# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the argument discovery_range makes of the environment does limit who is found."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built: run make test')

from support.nodes.raw_client import Client

from streamvlm_ros.launching.values import discovery_environment

TIME = 60.0
NODE = """
import sys, rclpy
rclpy.init()
node = rclpy.create_node(sys.argv[1])
print('ready', flush=True)
sys.stdin.read()
"""


def test_off_is_not_found(domain: int) -> None:
    """Of two nodes on this host, only that of LOCALHOST is."""
    children = []
    try:
        for wanted in ('OFF', 'LOCALHOST'):
            variables = discovery_environment(wanted, os.environ.get('ROS_DISTRO', ''))
            child = subprocess.Popen(
                [sys.executable, '-c', NODE, wanted.lower()],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **variables},
            )  # fmt: skip
            children.append(child)
            assert child.stdout is not None and child.stdout.readline() == b'ready\n'
        with Client(domain_id=domain) as client:
            assert client.wait_until(lambda: 'localhost' in client.node.get_node_names(), TIME), (
                client.node.get_node_names()
            )
            assert 'off' not in client.node.get_node_names()
    finally:
        for child in children:
            child.communicate()
            assert child.returncode == 0
