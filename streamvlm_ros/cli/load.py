# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Have a running node go on with a saved stream; the one it has is forgotten."""

from __future__ import annotations

import argparse

from streamvlm_ros.cli.calls import add_node_arguments, load_client_module
from streamvlm_ros.cli.save import PATH_HELP, print_saved


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument('path', help=PATH_HELP)
    add_node_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Load and print what was loaded; needs ROS."""
    client = load_client_module()
    with client.Client(arguments.node) as node:
        response = node.load(arguments.path)
    return print_saved(response, 'loaded from', arguments.json)
