# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Run the node in this terminal."""

from __future__ import annotations

import argparse
import os

from streamvlm_ros.environment import use_camera_profile
from streamvlm_ros.errors import CommandError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument('--model', help="'tiny', a folder or a hub id (the node's default: tiny)")
    parser.add_argument('--image', metavar='TOPIC', help='the camera topic (/image)')
    parser.add_argument('--params-file', metavar='YAML', help='parameters; config/ has examples')
    parser.add_argument(
        '-p',
        '--param',
        metavar='NAME:=VALUE',
        action='append',
        default=[],
        help='one parameter; may be given several times',
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the node until Ctrl-C; needs ROS."""
    use_camera_profile(os.environ)
    try:
        import rclpy  # noqa: F401  said here in a sentence what would be a trace below
    except ImportError as error:
        raise CommandError(
            f'ROS 2 is not available ({error}); source its setup file, or call scripts/with_ros '
            'streamvlm in the repository.'
        ) from error
    from streamvlm_ros.nodes import streamvlm_node

    return streamvlm_node.main(['streamvlm', *ros_arguments(arguments)])


def ros_arguments(arguments: argparse.Namespace) -> list[str]:
    """Return the arguments as ROS takes them."""
    ros = ['--ros-args']
    if arguments.params_file:
        ros += ['--params-file', arguments.params_file]
    if arguments.model:
        # In YAML quotes: a folder called 7 is a text too.
        ros += ['-p', f"model:='{arguments.model}'"]
    for parameter in arguments.param:
        if ':=' not in parameter:
            raise CommandError(f'{parameter!r} is not NAME:=VALUE.')
        ros += ['-p', parameter]
    if arguments.image:
        ros += ['-r', f'image:={arguments.image}']
    return ros
