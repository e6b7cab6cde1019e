# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the verbs that call a node share: arguments, the client, and how an answer is printed."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from streamvlm_ros.errors import CommandError


def add_node_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which node to talk to, and how to print."""
    parser.add_argument('--node', default='/streamvlm', help='name of the node (%(default)s)')
    parser.add_argument('--json', action='store_true', help='print JSON, one object a line')


def add_question_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that `ask` and `choose` share."""
    parser.add_argument(
        '--after',
        metavar='SEC',
        default='0',
        help='wait for a frame with this header stamp or newer',
    )
    parser.add_argument(
        '--timeout', metavar='SEC', type=float, default=0.0, help='0: the node decides'
    )
    add_node_arguments(parser)


def load_client_module() -> Any:
    """Import the ROS client.

    Raises:
        CommandError: ROS is not installed, or the package's interfaces are not built.

    """
    try:
        from streamvlm_ros.client import client
    except ImportError as error:
        raise CommandError(
            f'ROS 2 is not available ({error}); source its setup file and that of the '
            'workspace, or call scripts/with_ros streamvlm in the repository.'
        ) from error
    return client


def print_answer(response: Any, fields: Any, as_json: bool, written: str = '') -> int:
    """Print the answer on stdout, and on stderr how many frames and how long it took.

    Text that is already `written` there is not printed again.

    Raises:
        CommandError: there is no answer; says why.

    """
    if not response.success:
        raise CommandError(response.error_msg)
    values = fields(response.answer)
    if as_json:
        print(json.dumps(values))
        return 0
    if not written:
        print(values['answer'])
    print(
        f'({values["frames"]} frames seen, first token after {values["ttft_ms"]:.0f} ms, '
        f'complete after {values["total_ms"]:.0f} ms)',
        file=sys.stderr,
    )
    return 0
