# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ask a running node a question: `ask` is answered in free text, `choose` by a given answer."""

from __future__ import annotations

import argparse
from typing import Any

from streamvlm_ros import interrupts
from streamvlm_ros.cli.calls import add_question_arguments, load_client_module, print_answer
from streamvlm_ros.errors import CommandError

CANCEL_TIME = 5.0  # seconds that a canceled goal may take to end


def add_ask_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ask`."""
    parser.add_argument('question')
    add_question_arguments(parser)
    parser.add_argument('--max-new-tokens', type=int, default=0, help='0: the node decides')
    parser.add_argument(
        '--stream',
        action='store_true',
        help='print the answer while it is written; Ctrl-C ends the answer',
    )


def ask(arguments: argparse.Namespace) -> int:
    """Ask for free text and print it; needs ROS."""
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
    return print_answer(
        response,
        client.answer_fields,
        arguments.json,
        written=response.answer.text if arguments.stream else '',
    )


def add_choose_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `choose`."""
    parser.add_argument('question')
    parser.add_argument('choices', nargs='+', metavar='CHOICE', help='2 to 26 answers')
    add_question_arguments(parser)


def choose(arguments: argparse.Namespace) -> int:
    """Ask which answer fits and print it; needs ROS."""
    client = load_client_module()
    with client.Client(arguments.node) as node:
        response = node.ask_choice(
            arguments.question,
            arguments.choices,
            timeout=arguments.timeout,
            after=client.parse_stamp(arguments.after),
        )
    return print_answer(response, client.answer_fields, arguments.json)


def _stream(node: Any, question: str, asked: dict[str, Any], *, quiet: bool) -> Any:
    """Ask by the action, print the text as it arrives, and return the result; Ctrl-C cancels."""
    from streamvlm_ros.client.goals import Goals

    written = ''

    def show(text: str) -> None:
        nonlocal written
        if not quiet and text.startswith(written):
            print(text[len(written) :], end='', flush=True)
            written = text

    with interrupts.deferred(), Goals(node) as goals:
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
