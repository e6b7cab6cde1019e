# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ask a running node a question, answered in free text."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from streamvlm_ros.cli.node_arguments import add_node_arguments
from streamvlm_ros.client.errors import CommandError

CANCEL_TIME = 5.0  # seconds that a goal may take to end


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument('question')
    add_common_arguments(parser)
    parser.add_argument('--max-new-tokens', type=int, default=0, help='0: the node decides')
    parser.add_argument(
        '--stream',
        action='store_true',
        help='print the answer while it is written; Ctrl-C ends it',
    )


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
    asked = {
        'timeout': arguments.timeout,
        'after': client.parse_stamp(arguments.after),
        'max_new_tokens': arguments.max_new_tokens,
    }
    with client.Client(arguments.node) as node:
        if arguments.stream:
            response = _stream(node, arguments.question, asked, quiet=arguments.json)
        else:
            response = node.ask(arguments.question, **asked)
    return print_response(
        response,
        client.answer_fields,
        arguments.json,
        written=response.answer.text if arguments.stream else '',
    )


def _stream(node: Any, question: str, asked: dict[str, Any], *, quiet: bool) -> Any:
    """Ask by the action, print what comes, and return the result; Ctrl-C cancels the goal."""
    from streamvlm_ros.client.goals import Goals

    written = ''

    def show(text: str) -> None:
        nonlocal written
        if not quiet and text.startswith(written):
            print(text[len(written) :], end='', flush=True)
            written = text

    with Goals(node) as goals:
        goal = goals.send(lambda feedback: show(feedback.text), question=question, **asked)
        try:
            result = goals.wait(goal, asked['timeout'])
        except KeyboardInterrupt:
            goal.cancel()
            result = goals.wait(goal, CANCEL_TIME)
        show(result.answer.text)
        if written:
            print()
    return result


def load_client_module() -> Any:
    """Import the ROS client.

    Raises:
        CommandError: there is no ROS, or the package's interfaces are not built.

    """
    try:
        from streamvlm_ros.client import client
    except ImportError as error:
        raise CommandError(
            f'ROS 2 is missing here ({error}); source its setup file and that of the '
            'workspace, or '
            'call scripts/with_ros streamvlm in the repository.'
        ) from error
    return client


def print_response(response: Any, fields: Any, as_json: bool, written: str = '') -> int:
    """Print the answer on stdout, unless it is written there, and on what it rests on stderr.

    Raises:
        CommandError: there is no answer; with the reason.

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
