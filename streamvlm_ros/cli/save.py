# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a running node keeps on disk: `save` and `load` its memory, `forget` in its store."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING

from streamvlm_ros.cli.calls import add_node_arguments, connect, parse_stamp
from streamvlm_ros.errors import CommandError

if TYPE_CHECKING:
    from streamvlm_ros.client.outputs import SavedStream


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `save` and of `load`."""
    parser.add_argument('path', help="a name in the node's save_folder, on the node's machine")
    add_node_arguments(parser)


def add_forget_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `forget`."""
    parser.add_argument(
        '--since', metavar='SEC', help='header stamp of the first frame; without it: the oldest'
    )
    parser.add_argument(
        '--until', metavar='SEC', help='header stamp of the last frame; without it: the newest'
    )
    parser.add_argument('--all', action='store_true', help='forget everything')
    add_node_arguments(parser)


def save(arguments: argparse.Namespace) -> int:
    """Save and print what was saved; needs ROS."""
    with connect(arguments.node) as robot:
        return _print_saved(robot.save(arguments.path), 'saved in', arguments.json)


def load(arguments: argparse.Namespace) -> int:
    """Load and print what was loaded; needs ROS."""
    with connect(arguments.node) as robot:
        return _print_saved(robot.load(arguments.path), 'loaded from', arguments.json)


def forget(arguments: argparse.Namespace) -> int:
    """Forget and print how much it was; needs ROS."""
    given = arguments.since is not None or arguments.until is not None
    if given == arguments.all:
        raise CommandError('Give --since, --until or both, or --all to forget everything.')
    since, until = (parse_stamp(each or '0') for each in (arguments.since, arguments.until))
    with connect(arguments.node) as robot:
        forgotten = robot.forget(since, until)
    if arguments.json:
        print(json.dumps(dataclasses.asdict(forgotten)))
    else:
        print(
            f'{forgotten.frames:,} frames and {forgotten.answers:,} answers forgotten, '
            f'{forgotten.bytes / 1e6:,.1f} MB'
        )
    return 0


def _print_saved(saved: SavedStream, verb: str, as_json: bool) -> int:
    """Print what was saved or loaded."""
    if as_json:
        print(json.dumps(dataclasses.asdict(saved)))
    else:
        print(
            f'{saved.frames:,} frames, {saved.tokens:,} tokens, '
            f'{saved.bytes / 1e6:,.1f} MB {verb} {saved.path}'
        )
    return 0
