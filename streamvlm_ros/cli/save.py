# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Save the memory of a running node to a file: `save`; and load it again: `load`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from streamvlm_ros.cli.calls import add_node_arguments, load_client_module
from streamvlm_ros.errors import CommandError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `save` and of `load`."""
    parser.add_argument('path', help="a name in the node's save_folder, on the node's machine")
    add_node_arguments(parser)


def save(arguments: argparse.Namespace) -> int:
    """Save and print what was saved; needs ROS."""
    client = load_client_module()
    with client.Client(arguments.node) as node:
        response = node.save(arguments.path)
    return _print_saved(response, 'saved in', arguments.json)


def load(arguments: argparse.Namespace) -> int:
    """Load and print what was loaded; needs ROS."""
    client = load_client_module()
    with client.Client(arguments.node) as node:
        response = node.load(arguments.path)
    return _print_saved(response, 'loaded from', arguments.json)


def _print_saved(response: Any, verb: str, as_json: bool) -> int:
    """Print what a response says was saved or loaded.

    Raises:
        CommandError: it failed.

    """
    if not response.success:
        raise CommandError(response.error_msg)
    if as_json:
        names = ('path', 'frames', 'tokens', 'bytes')
        print(json.dumps({name: getattr(response, name) for name in names}))
    else:
        print(
            f'{response.frames:,} frames, {response.tokens:,} tokens, '
            f'{response.bytes / 1e6:,.1f} MB {verb} {response.path}'
        )
    return 0
