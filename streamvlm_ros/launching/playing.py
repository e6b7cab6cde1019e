# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command lines of bag.launch.py's steps. Pure functions; launch is not needed."""

from __future__ import annotations

from collections.abc import Sequence
import sys

_CLI = [sys.executable, '-m']


def wait_command(node: str) -> list[str]:
    """Return the command that ends when a node has loaded its model and listens."""
    return [*_CLI, 'streamvlm_ros.client.ready', node]


def play_command(
    bag: str, recorded: str, heard: str, *, with_rosbag2: bool, with_clock: bool = False
) -> list[str]:
    """Return the command that plays the images of a bag into the topic that a node subscribes to.

    Args:
        bag: the bag's folder.
        recorded: the image topic in the bag.
        heard: the topic to play it into.
        with_rosbag2: play it with `ros2 bag play`; else with this package's own player.
        with_clock: let it publish /clock too.
    """
    if not with_rosbag2:
        clock = ['--clock'] if with_clock else []
        return [*_CLI, 'streamvlm_ros.bags.player', *clock, bag, heard, '1', recorded]
    # It does not wait for subscribers: the delay is for them to be found.
    options = ['--topics', recorded, '--delay', '2', '--disable-keyboard-controls']
    if with_clock:
        options.append('--clock')
    if heard != recorded:
        options += ['--remap', f'{recorded}:={heard}']
    return ['ros2', 'bag', 'play', bag, *options]


def ask_command(node: str, question: str, choices: Sequence[str], timeout: float) -> list[str]:
    """Return the command that asks a node and prints the answer; with choices, one of them."""
    verb = ['choose', question, *choices] if choices else ['ask', question]
    common = ['--node', node, '--timeout', f'{timeout:g}']
    return [*_CLI, 'streamvlm_ros.cli.main', *verb, *common]
