# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The arguments of every verb that talks to a node."""

from __future__ import annotations

import argparse


def add_node_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which node to talk to, and how to print."""
    parser.add_argument('--node', default='/streamvlm', help='name of the node (%(default)s)')
    parser.add_argument('--json', action='store_true', help='print JSON, one object a line')
