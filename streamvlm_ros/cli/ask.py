# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ask a running node a question, answered in free text."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from streamvlm_ros.cli.errors import CommandError
from streamvlm_ros.cli.node_arguments import add_node_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument('question')
    add_common_arguments(parser)
    parser.add_argument('--max-new-tokens', type=int, default=0, help='0: the node decides')


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
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


def run(arguments: argparse.Namespace) -> int:
    """Ask and print; needs ROS."""
    if not 0 <= arguments.max_new_tokens < 2**32:
        raise CommandError('--max-new-tokens is a number of tokens, 0 or more.')
    client = load_client_module()
    with client.Client(arguments.node) as node:
        response = node.ask(
            arguments.question,
            timeout=arguments.timeout,
            after=client.parse_stamp(arguments.after),
            max_new_tokens=arguments.max_new_tokens,
        )
    return print_response(response, client.answer_fields, arguments.json)


def load_client_module() -> Any:
    """Import the ROS client.

    Raises:
        CommandError: there is no ROS, or the package's interfaces are not built.

    """
    try:
        from streamvlm_ros.cli import client
    except ImportError as error:
        raise CommandError(
            f'ROS 2 is missing here ({error}); source its setup file and that of the '
            'workspace, or '
            'call scripts/with_ros streamvlm in the repository.'
        ) from error
    return client


def print_response(response: Any, fields: Any, as_json: bool) -> int:
    """Print the answer on stdout and what it rests on, or the fault, on stderr."""
    if not response.success:
        raise CommandError(response.error_msg)
    values = fields(response.answer)
    if as_json:
        print(json.dumps(values))
        return 0
    print(values['answer'])
    print(
        f'({values["frames"]} frames seen, first token after {values["ttft_ms"]:.0f} ms, '
        f'complete after {values["total_ms"]:.0f} ms)',
        file=sys.stderr,
    )
    return 0
