# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ask a running node a question: `ask` is answered in free text, `choose` by a given answer."""

from __future__ import annotations

import argparse
from typing import Any, TYPE_CHECKING

from streamvlm_ros import interrupts
from streamvlm_ros.cli.calls import add_question_arguments, connect, parse_stamp, print_answer
from streamvlm_ros.cli.generation import add_generation_arguments, generation_fields
from streamvlm_ros.errors import CommandError, StreamError

if TYPE_CHECKING:
    from streamvlm_ros.client.client import StreamClient
    from streamvlm_ros.client.outputs import Answer


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
    add_generation_arguments(parser)


def ask(arguments: argparse.Namespace) -> int:
    """Ask for free text and print it; needs ROS."""
    if not 0 <= arguments.max_new_tokens < 2**32:
        raise CommandError('--max-new-tokens is a number of tokens, 0 or more.')
    asked = {
        'timeout': arguments.timeout,
        'after': parse_stamp(arguments.after),
        'max_new_tokens': arguments.max_new_tokens,
        **generation_fields(arguments),
    }
    with connect(arguments.node) as robot:
        if arguments.stream:
            answer = _stream(robot, arguments.question, asked, quiet=arguments.json)
        else:
            answer = robot.ask(arguments.question, **asked)
    is_written = bool(arguments.stream and answer.text)
    return print_answer(answer, arguments.json, is_written=is_written)


def add_choose_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `choose`."""
    parser.add_argument('question')
    parser.add_argument('choices', nargs='+', metavar='CHOICE', help='2 to 26 answers')
    add_question_arguments(parser)


def choose(arguments: argparse.Namespace) -> int:
    """Ask which answer fits and print it; needs ROS."""
    after = parse_stamp(arguments.after)
    with connect(arguments.node) as robot:
        answer = robot.ask_choice(
            arguments.question, arguments.choices, timeout=arguments.timeout, after=after
        )
    return print_answer(answer, arguments.json)


def _stream(robot: StreamClient, question: str, asked: dict[str, Any], *, quiet: bool) -> Answer:
    """Ask by the action, print the text as it arrives, and return the answer; Ctrl-C cancels."""
    written, is_canceled = '', False
    with interrupts.deferred(), robot.stream_answer(question, **asked) as stream:
        try:
            while stream.answer is None:
                try:
                    for delta in stream:
                        written += delta
                        if not quiet:
                            print(delta, end='', flush=True)
                except KeyboardInterrupt:
                    stream.cancel()
                    is_canceled = True
        except StreamError:
            if is_canceled:  # before the node had the question, or it has ended
                raise KeyboardInterrupt from None
            raise
        finally:
            if written and not quiet:
                print()
    return stream.result()
