# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Save the memory of a running node to a file: `save`; and load it again: `load`."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING

from streamvlm_ros.cli.calls import add_node_arguments, connect

if TYPE_CHECKING:
    from streamvlm_ros.client.outputs import SavedStream


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `save` and of `load`."""
    parser.add_argument('path', help="a name in the node's save_folder, on the node's machine")
    add_node_arguments(parser)


def save(arguments: argparse.Namespace) -> int:
    """Save and print what was saved; needs ROS."""
    with connect(arguments.node) as robot:
        return _print_saved(robot.save(arguments.path), 'saved in', arguments.json)


def load(arguments: argparse.Namespace) -> int:
    """Load and print what was loaded; needs ROS."""
    with connect(arguments.node) as robot:
        return _print_saved(robot.load(arguments.path), 'loaded from', arguments.json)


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
