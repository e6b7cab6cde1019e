# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Run the node in this terminal, on a camera topic or with a source of its own."""

from __future__ import annotations

import argparse
import os

from streamvlm_ros.environment import use_camera_profile
from streamvlm_ros.errors import CommandError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument('--model', help="'tiny', a folder or a hub id (the node's default: tiny)")
    parser.add_argument('--image', metavar='TOPIC', help='the camera topic (/image)')
    parser.add_argument(
        '--source',
        metavar='SOURCE',
        help='publish this on the camera topic too: a number or /dev/video0 (webcam), an rtsp:// '
        'or http(s):// URL, a video file, a folder of pictures, or a bag',
    )
    parser.add_argument(
        '--source-rate',
        metavar='HZ',
        type=float,
        default=0.0,
        help='images a second that are published, at most (0: all)',
    )
    parser.add_argument(
        '--folder-rate',
        metavar='HZ',
        type=float,
        default=1.0,
        help='pictures a second of a folder of pictures (1)',
    )
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

    ros = ['streamvlm', *ros_arguments(arguments)]
    if not arguments.source:
        return streamvlm_node.main(ros)
    from streamvlm_ros.driver.source_node import log_event, SourceNode
    from streamvlm_ros.sources import open_source

    # Looked at before a model is loaded, which may take minutes.
    source = open_source(
        arguments.source,
        sample_rate=arguments.source_rate,
        folder_rate=arguments.folder_rate,
        own_pace=True,
        start_ns=None,
        on_event=log_event,
    )
    with source:
        return streamvlm_node.main(ros, companion=lambda: SourceNode(source))


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
