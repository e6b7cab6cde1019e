# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""For launch_test: the node starts, is brought up, says so, and ends cleanly with SIGINT."""

from __future__ import annotations

import pathlib
from typing import Any
import unittest

from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
import launch_testing
from launch_testing.actions import ReadyToTest
import launch_testing.asserts

from streamvlm_ros.client import StreamClient

FILE = pathlib.Path(__file__).parents[2] / 'launch' / 'cpu.launch.py'


def generate_test_description() -> LaunchDescription:
    source = PythonLaunchDescriptionSource(str(FILE))
    arguments = [('namespace', 'tested')]
    return LaunchDescription(
        [IncludeLaunchDescription(source, launch_arguments=arguments), ReadyToTest()]
    )


class WhileItRuns(unittest.TestCase):
    """The node has been brought up by the launch file."""

    def test_is_ready(self, proc_output: Any) -> None:
        with StreamClient('/tested/streamvlm') as robot:
            self.assertEqual(robot.wait_until_ready().state, 'waiting_for_images')
        proc_output.assertWaitFor('Ready: images from /tested/image', timeout=10.0)


@launch_testing.post_shutdown_test()
class BehindTheEnd(unittest.TestCase):
    """The processes have ended as they should."""

    def test_exit_codes(self, proc_info: Any) -> None:
        launch_testing.asserts.assertExitCodes(proc_info)
