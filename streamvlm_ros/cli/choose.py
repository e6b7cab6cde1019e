# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ask a running node a question with given answers."""

from __future__ import annotations

import argparse

from streamvlm_ros.cli.calls import add_question_arguments, load_client_module, print_answer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument('question')
    parser.add_argument('choices', nargs='+', metavar='CHOICE', help='2 to 26 answers')
    add_question_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask and print; needs ROS."""
    client = load_client_module()
    with client.Client(arguments.node) as node:
        response = node.ask_choice(
            arguments.question,
            arguments.choices,
            timeout=arguments.timeout,
            after=client.parse_stamp(arguments.after),
        )
    return print_answer(response, client.answer_fields, arguments.json)
